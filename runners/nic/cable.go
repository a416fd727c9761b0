package nic

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// Limits bound what one side of a cable can do to the other and to the host. Zero
// fields take the defaults.
type Limits struct {
	Rate  int // frames a second in each direction; default 200000
	Burst int // frames that may come at once; default 4096
	Queue int // frames on their way in each direction; default 256
	// Stall is how long a side that takes nothing holds up the other. Then frames
	// for it are dropped, as behind a switch, until it reads again. Default 1 s.
	Stall time.Duration
	// Patience is for how long a side may be throttled without a pause before it is
	// reported as a flood; default 5 s.
	Patience time.Duration
	// Flood is told, once for each side, that it floods; nil: nobody is. It is
	// called from the cable's own goroutine, and must not block.
	Flood func(side int, c Counters)
}

func (l Limits) filled() Limits {
	set := func(field *int, value int) {
		if *field <= 0 {
			*field = value
		}
	}
	set(&l.Rate, 200_000)
	set(&l.Burst, 4096)
	set(&l.Queue, 256)
	if l.Stall <= 0 {
		l.Stall = time.Second
	}
	if l.Patience <= 0 {
		l.Patience = 5 * time.Second
	}
	return l
}

// Counters count what came from one side of a cable.
type Counters struct {
	Frames, Bytes int64
	Dropped       int64         // the other side took nothing
	Throttled     time.Duration // time for which this side had to wait
	Flooded       bool          // it was throttled for longer than the patience
}

// Cable joins two ends. It owns both, and closes both when one ends.
type Cable struct {
	ends   [2]Frames
	limits Limits
	ways   [2]way // by the side that sends
	wait   sync.WaitGroup
	once   sync.Once
	closed chan struct{}
	mu     sync.Mutex
	err    error
}

// way is one direction.
type way struct {
	queue, free                    chan []byte
	frames, bytes, dropped, waited atomic.Int64
	flooded                        atomic.Bool
}

// Join lays a cable between two ends. Whoever called it ends it with Close.
func Join(a, b Frames, l Limits) *Cable {
	c := &Cable{ends: [2]Frames{a, b}, limits: l.filled(), closed: make(chan struct{})}
	for side := range c.ways {
		w := &c.ways[side]
		w.queue, w.free = make(chan []byte, c.limits.Queue), make(chan []byte, c.limits.Queue)
		c.wait.Go(func() { c.end(c.receive(side)) })
		c.wait.Go(func() { c.end(c.send(side)) })
	}
	return c
}

// Counters gives what came from side 0 or 1.
func (c *Cable) Counters(side int) Counters {
	w := &c.ways[side]
	return Counters{
		Frames: w.frames.Load(), Bytes: w.bytes.Load(), Dropped: w.dropped.Load(),
		Throttled: time.Duration(w.waited.Load()), Flooded: w.flooded.Load(),
	}
}

// Done is closed when the cable has ended.
func (c *Cable) Done() <-chan struct{} { return c.closed }

// Close takes the cable away, waits for its goroutines and says what ended it
// before, and what could not be given back; nil when nothing did, or an end that
// simply went.
func (c *Cable) Close() error {
	c.end(nil)
	c.wait.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// end closes both ends. The first cause is kept.
func (c *Cable) end(cause error) {
	c.once.Do(func() {
		close(c.closed)
		if gone(cause) {
			cause = nil
		}
		errs := []error{cause}
		for _, e := range c.ends {
			if err := e.Close(); !gone(err) {
				errs = append(errs, err)
			}
		}
		c.mu.Lock()
		c.err = errors.Join(errs...)
		c.mu.Unlock()
	})
}

// gone says that an end ended as ends do.
func gone(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, net.ErrClosed) || errors.Is(err, os.ErrClosed) ||
		errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNRESET)
}

// receive takes frames from a side until it ends.
func (c *Cable) receive(side int) error {
	w := &c.ways[side]
	pace := pacer{rate: c.limits.Rate, burst: c.limits.Burst}
	stall := time.NewTimer(c.limits.Stall)
	defer stall.Stop()
	stalled := false
	buf := make([]byte, maxFrame)
	for {
		n, err := c.ends[side].ReadFrame(buf)
		if err != nil {
			return err
		}
		w.frames.Add(1)
		w.bytes.Add(int64(n))
		if !c.throttle(side, &pace) {
			return nil
		}
		frame := append(w.spare(), buf[:n]...)
		select {
		case w.queue <- frame:
			stalled = false
			continue
		default:
		}
		if !stalled { // a side that did not read for so long does not hold up the next frame too
			stall.Reset(c.limits.Stall)
			select {
			case w.queue <- frame:
				continue
			case <-stall.C:
				stalled = true
			case <-c.closed:
				return nil
			}
		}
		w.dropped.Add(1)
		w.give(frame)
	}
}

// throttle waits as long as the rate asks, and reports a flood. It returns false
// when the cable ended meanwhile.
func (c *Cable) throttle(side int, p *pacer) bool {
	d := p.next(time.Now())
	if d == 0 {
		return true
	}
	w := &c.ways[side]
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-c.closed:
		return false
	}
	w.waited.Add(int64(d))
	if p.held > c.limits.Patience && w.flooded.CompareAndSwap(false, true) && c.limits.Flood != nil {
		c.limits.Flood(side, c.Counters(side))
	}
	return true
}

// spare is an empty buffer, used before if there is one.
func (w *way) spare() []byte {
	select {
	case b := <-w.free:
		return b[:0]
	default:
		return nil
	}
}

// give keeps a buffer for the next frame.
func (w *way) give(b []byte) {
	select {
	case w.free <- b:
	default:
	}
}

// send gives the frames of a side to the other.
func (c *Cable) send(side int) error {
	w := &c.ways[side]
	for {
		select {
		case frame := <-w.queue:
			if err := c.ends[1-side].WriteFrame(frame); err != nil {
				return err
			}
			w.give(frame)
		case <-c.closed:
			return nil
		}
	}
}
