package wire

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

const (
	maxQueue = 4 << 20  // bytes on their way to a receiver
	maxWrite = 64 << 10 // bytes written at once, so that Passed.At is not far from the truth
	itemCost = 128      // bytes of an item beside its frame, about
)

// Station is what is behind the cable: a TCP stack, a script, another guest.
type Station interface {
	// Takes says whether a frame to a single receiver is for this station. It is asked
	// when there are several; the first one gets the frame. Frames to many go to all, as
	// do ARP and ICMPv6, with which neighbours are found.
	Takes(p *Packet) bool
	// Receive takes a frame that came through. It must not block, nor change frame,
	// which it may keep. It is called from one goroutine, and may call NIC.Send.
	Receive(frame []byte)
}

// NIC is the cable of one NIC: the guest is at one end, stations are at the other.
type NIC struct {
	c *Cable
	n int

	// All of these are guarded by c.mu.
	conn     net.Conn
	gone     bool // the guest is
	stuck    bool // it held up another one for too long
	done     chan struct{}
	stations []Station
	toGuest  queue
	toPeers  queue
	empty    int64
}

func newNIC(c *Cable, n int) *NIC {
	nic := &NIC{c: c, n: n, done: make(chan struct{})}
	for _, q := range []*queue{&nic.toGuest, &nic.toPeers} {
		q.ready.L, q.room.L = &c.mu, &c.mu
	}
	return nic
}

// queue of what is on its way to a receiver. It is guarded by the cable's lock.
type queue struct {
	items []*item
	bytes int
	ready sync.Cond // there is something, or the end
	room  sync.Cond // there is less than there was
}

func (q *queue) push(it *item) {
	q.items = append(q.items, it)
	q.bytes += len(it.frame) + itemCost
	q.ready.Signal()
}

// take moves up to limit bytes, at least one item, behind to.
func (q *queue) take(to []*item, limit int) []*item {
	n, bytes := 0, 0
	for n < len(q.items) && (n == 0 || bytes+len(q.items[n].frame) <= limit) {
		bytes += len(q.items[n].frame)
		n++
	}
	to = append(to, q.items[:n]...)
	clear(q.items[:n])
	if q.items = q.items[n:]; len(q.items) == 0 {
		q.bytes = 0
	} else {
		q.bytes -= bytes + n*itemCost
	}
	return to
}

func (q *queue) drop(c *core) {
	for _, it := range q.items {
		c.lose(it, OwnShutdown)
	}
	q.items = nil
}

func (n *NIC) wake() {
	n.toGuest.ready.Broadcast()
	n.toPeers.ready.Broadcast()
	n.toPeers.room.Broadcast()
	n.toGuest.room.Broadcast()
}

// Join puts a station behind the cable.
func (n *NIC) Join(s Station) error {
	if n.n < 0 || n.n > maxNIC {
		return fmt.Errorf("nic %d: want 0 to %d", n.n, maxNIC)
	}
	n.c.mu.Lock()
	defer n.c.mu.Unlock()
	if n.c.shut {
		return net.ErrClosed
	}
	n.stations = append(n.stations, s)
	if len(n.stations) == 1 {
		n.c.wait.Go(n.pump)
	}
	return nil
}

// Plug joins the guest's end, whose frames stand behind lengths of 4 bytes, big-endian.
// The cable owns conn from now on. A guest can be plugged in once.
func (n *NIC) Plug(conn net.Conn) error {
	if conn == nil || n.n < 0 || n.n > maxNIC {
		return fmt.Errorf("nic %d: nothing to plug in there", n.n)
	}
	n.c.mu.Lock()
	defer n.c.mu.Unlock()
	switch {
	case n.c.shut:
		return net.ErrClosed
	case n.conn != nil:
		return fmt.Errorf("nic %d: a guest is plugged in already", n.n)
	}
	n.conn = conn
	n.c.wait.Go(n.read)
	n.c.wait.Go(n.write)
	return nil
}

// Number of the NIC.
func (n *NIC) Number() int { return n.n }

// Gone is closed when the guest's end has ended.
func (n *NIC) Gone() <-chan struct{} { return n.done }

// Send sends a frame to the guest. It never blocks, and keeps nothing of frame.
// Frames of impossible lengths are left out.
func (n *NIC) Send(frame []byte) {
	if len(frame) > 0 && len(frame) <= MaxFrame {
		n.c.frames(lane{n.n, ToGuest}, [][]byte{frame})
	}
}

// Empty counts the frames without a byte that the guest sent.
func (n *NIC) Empty() int64 {
	n.c.mu.Lock()
	defer n.c.mu.Unlock()
	return n.empty
}

// bridge is a station that is another guest.
type bridge struct{ to *NIC }

func (b bridge) Takes(*Packet) bool   { return true }
func (b bridge) Receive(frame []byte) { b.to.Send(frame) }

// pass sends all frames that came at once.
func (b bridge) pass(batch []*item) {
	b.to.await()
	frames := make([][]byte, len(batch))
	for i, it := range batch {
		frames[i] = it.frame
	}
	b.to.c.frames(lane{b.to.n, ToGuest}, frames)
}

// stall is how long a guest that reads nothing holds up another one. Then frames for it
// are dropped until it reads again.
const stall = time.Second

// await waits until the guest has read most of what was sent to it.
func (n *NIC) await() {
	n.c.mu.Lock()
	defer n.c.mu.Unlock()
	full := func() bool { return n.toGuest.bytes > maxQueue/2 && !n.c.shut && !n.gone && !n.stuck }
	if !full() {
		return
	}
	timer := time.AfterFunc(stall, func() {
		n.c.mu.Lock()
		defer n.c.mu.Unlock()
		n.stuck = true
		n.toGuest.room.Broadcast()
	})
	defer timer.Stop()
	for full() {
		n.toGuest.room.Wait()
	}
}

// Connect joins two guests. Each frame is two events: FromGuest at the one NIC, then
// ToGuest at the other. Rules can be asked at either.
func Connect(a, b *NIC) error { return errors.Join(a.Join(bridge{b}), b.Join(bridge{a})) }

// read takes the guest's frames. While stations are too slow the guest waits.
func (n *NIC) read() {
	r := NewReader(n.conn)
	var frames [][]byte
	for {
		var err error
		frames, err = r.Next(frames[:0])
		if err != nil {
			n.end(r, err)
			return
		}
		n.c.frames(lane{n.n, FromGuest}, frames)
		n.c.mu.Lock()
		n.empty = r.Empty
		for n.toPeers.bytes > maxQueue && !n.c.shut {
			n.toPeers.room.Wait()
		}
		n.c.mu.Unlock()
	}
}

// end notes that the guest's end is gone.
func (n *NIC) end(r *Reader, err error) {
	n.c.mu.Lock()
	defer n.c.mu.Unlock()
	n.empty, n.gone = r.Empty, true
	n.wake()
	close(n.done)
	if !n.c.shut && !ended(err) {
		n.c.fail(fmt.Errorf("nic %d: %w", n.n, err))
	}
}

// ended says that a connection ended as they do.
func ended(err error) bool {
	return err == io.EOF || errors.Is(err, net.ErrClosed) || errors.Is(err, os.ErrClosed) || errors.Is(err, io.ErrClosedPipe) ||
		errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNRESET)
}

// write sends to the guest what is in its queue.
func (n *NIC) write() {
	var batch []*item
	var out []byte
	c := n.c
	c.mu.Lock()
	defer c.mu.Unlock()
	for {
		for len(n.toGuest.items) == 0 && !c.shut {
			n.toGuest.ready.Wait()
		}
		if c.shut {
			return
		}
		batch = n.toGuest.take(batch[:0], maxWrite)
		n.stuck = false
		n.toGuest.room.Broadcast()
		c.core.passes(batch, c.Now())
		c.mu.Unlock()
		out = out[:0]
		for _, it := range batch {
			out = AppendFrame(out, it.frame)
		}
		_, err := n.conn.Write(out)
		c.mu.Lock()
		if err != nil {
			c.core.missed(batch)
		} else {
			c.core.passed(batch)
		}
		clear(batch)
	}
}

// pump hands to the stations what is in their queue.
func (n *NIC) pump() {
	var batch []*item
	var p Packet
	c := n.c
	c.mu.Lock()
	defer c.mu.Unlock()
	for {
		for len(n.toPeers.items) == 0 && !c.shut {
			n.toPeers.ready.Wait()
		}
		if c.shut {
			return
		}
		batch = n.toPeers.take(batch[:0], maxWrite)
		n.toPeers.room.Signal()
		stations := n.stations
		c.core.passes(batch, c.Now())
		c.mu.Unlock()
		if b, ok := stations[0].(bridge); ok && len(stations) == 1 {
			b.pass(batch)
		} else {
			for _, it := range batch {
				receive(stations, it.frame, &p)
			}
		}
		c.mu.Lock()
		c.core.passed(batch)
		clear(batch)
	}
}

func receive(stations []Station, frame []byte, p *Packet) {
	if len(stations) == 1 {
		stations[0].Receive(frame)
		return
	}
	p.Decode(frame)
	toMany := p.EtherDst[0]&1 != 0 || p.EtherType == EtherARP || p.Proto == ProtoICMPv6
	for _, s := range stations {
		if toMany || s.Takes(p) {
			s.Receive(frame)
			if !toMany {
				return
			}
		}
	}
}
