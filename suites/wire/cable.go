package wire

import (
	"errors"
	"fmt"
	"net"
	"sync"
	"time"
)

// Config of a cable. Zero fields take the defaults.
type Config struct {
	Seed  uint64 // of everything that rules draw
	Rules []Rule
	Trace TraceOptions
	Held  int64 // bytes of frames that rules may hold back at once; default 64 MiB
}

// Cable joins NICs of guests with the stations behind them. It has one owner, who
// ends it with Close. Every method may be called at any time.
type Cable struct {
	start  time.Time
	wait   sync.WaitGroup
	once   sync.Once
	nudge  chan struct{} // something is due earlier than the clock thinks
	ripe   chan struct{} // something is there for the sink
	closed chan struct{}

	mu    sync.Mutex
	core  core
	nics  map[int]*NIC
	alarm time.Duration // until when the clock sleeps; guarded by mu
	errs  []error
	shut  bool
	saved chan struct{} // closed when the sink has got everything
}

// New lays a cable.
func New(o Config) (*Cable, error) {
	if err := CheckRules(o.Rules); err != nil {
		return nil, err
	}
	if o.Held <= 0 {
		o.Held = 64 << 20
	}
	if o.Trace.Bytes <= 0 {
		o.Trace.Bytes = defaultTrace
	}
	c := &Cable{
		start: time.Now(), nics: map[int]*NIC{}, alarm: never,
		nudge: make(chan struct{}, 1), ripe: make(chan struct{}, 1),
		closed: make(chan struct{}), saved: make(chan struct{}),
	}
	c.core = core{seed: o.Seed, actions: newActions(o.Rules, o.Seed), maxHeld: o.Held, out: c.out}
	c.core.trace = trace{options: o.Trace, wake: func() { poke(c.ripe) }}
	c.wait.Go(c.clock)
	go c.save()
	return c, nil
}

func poke(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// Now is the time on the cable.
func (c *Cable) Now() time.Duration { return time.Since(c.start) }

// Start is when the cable was laid.
func (c *Cable) Start() time.Time { return c.start }

// SetRules replaces the rules. Numbers of streams and what was sent of them stay;
// counts of the rules, their dice and queues begin anew. What is held stays so.
func (c *Cable) SetRules(rules []Rule) error {
	if err := CheckRules(rules); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.core.actions = newActions(rules, c.core.seed)
	return nil
}

// NIC gives the cable of NIC n, 0 to 63. Stations are joined to it, then the guest
// is plugged in.
func (c *Cable) NIC(n int) *NIC {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.nics[n] == nil {
		c.nics[n] = newNIC(c, n)
	}
	return c.nics[n]
}

// Forget leaves out of the trace what came until now, for who makes much traffic that
// nobody will look at; a sink has it nevertheless. Streams are forgotten, too, and their
// numbers begin again.
func (c *Cable) Forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.core.forget()
}

// Trace is what has crossed so far. Frames that are under way have Event.Held.
func (c *Cable) Trace() *Trace {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.core.trace.snapshot(c.start)
}

// Close takes the cable away: it closes the guests' connections, waits for all
// goroutines and gives the trace, whatever the error. The error says what was wrong
// with a stream of frames, or why the sink did not take the trace.
func (c *Cable) Close() (*Trace, error) {
	c.once.Do(func() {
		c.mu.Lock()
		c.shut = true
		close(c.closed)
		var conns []net.Conn
		for _, n := range c.nics {
			n.wake()
			if n.conn != nil {
				conns = append(conns, n.conn)
			}
		}
		c.mu.Unlock()
		for _, conn := range conns {
			conn.Close() // of its errors the guest's end knows no more than we do
		}
		c.wait.Wait()
		c.mu.Lock()
		c.core.shut()
		for _, n := range c.nics {
			n.toGuest.drop(&c.core)
			n.toPeers.drop(&c.core)
		}
		c.mu.Unlock()
		close(c.ripe)
		<-c.saved
	})
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.core.trace.snapshot(c.start), errors.Join(c.errs...)
}

// fail keeps an error for Close. c.mu is held.
func (c *Cable) fail(err error) {
	if len(c.errs) < 100 {
		c.errs = append(c.errs, err)
	}
}

// frames takes frames that came at once.
func (c *Cable) frames(l lane, frames [][]byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.shut {
		return
	}
	at := c.Now()
	for _, f := range frames {
		c.core.frame(at, l, f)
	}
	if due, ok := c.core.next(); ok && due < c.alarm {
		poke(c.nudge)
	}
}

// out hands a copy to its receiver's queue. c.mu is held.
func (c *Cable) out(it *item) {
	n := c.nics[it.lane.nic]
	if it.lane.dir == FromGuest {
		if len(n.stations) == 0 {
			c.core.lose(it, OwnNobody)
			return
		}
		n.toPeers.push(it)
		return
	}
	switch {
	case n.conn == nil || n.gone:
		c.core.lose(it, OwnNobody)
	case n.toGuest.bytes > maxQueue:
		c.core.lose(it, OwnSlow)
	default:
		n.toGuest.push(it)
	}
}

// save hands events to the sink, until Close.
func (c *Cable) save() {
	defer close(c.saved)
	sink := c.core.trace.options.Sink
	var failed error
	var batch []*Event
	for open := true; open; {
		_, open = <-c.ripe
		c.mu.Lock()
		t := &c.core.trace
		batch, t.ripe, t.ripeBytes = t.ripe, batch[:0], 0
		c.mu.Unlock()
		for i, e := range batch {
			if failed == nil {
				failed = sink.Save(e)
			}
			if failed != nil {
				c.mu.Lock()
				t.unsaved += int64(len(batch) - i)
				c.mu.Unlock()
				break
			}
		}
		clear(batch)
	}
	if failed != nil {
		c.mu.Lock()
		c.fail(fmt.Errorf("saving the trace: %w", failed))
		c.mu.Unlock()
	}
}
