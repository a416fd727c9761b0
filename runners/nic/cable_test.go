package nic

import (
	"bytes"
	"encoding/binary"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// TestTwoMachinesOnOneWire joins two wires, and each hears what the other said.
func TestTwoMachinesOnOneWire(t *testing.T) {
	a, hubA := streams(t)
	b, hubB := streams(t)
	c := Join(hubA, hubB, Limits{})
	const frames = 2000
	for _, way := range []struct{ from, to Frames }{{a, b}, {b, a}} {
		done := make(chan error, 1)
		go func() {
			buf := make([]byte, maxFrame)
			for i := range frames {
				n, err := way.to.ReadFrame(buf)
				if err == nil && (n != 1514 || binary.BigEndian.Uint32(buf) != uint32(i)) {
					err = errors.New("frames are not whole and in order")
				}
				if err != nil {
					done <- err
					return
				}
			}
			done <- nil
		}()
		f := make([]byte, 1514)
		for i := range frames {
			binary.BigEndian.PutUint32(f, uint32(i))
			if err := way.from.WriteFrame(f); err != nil {
				t.Fatal(err)
			}
		}
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
	for side := range 2 {
		if got := c.Counters(side); got.Frames != frames || got.Bytes != frames*1514 || got.Dropped != 0 {
			t.Errorf("side %d: %+v", side, got)
		}
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	if _, err := a.ReadFrame(make([]byte, maxFrame)); err == nil {
		t.Error("an end outlives its cable")
	}
}

func TestCableEndsWithAnEnd(t *testing.T) {
	a, hubA := streams(t)
	_, hubB := streams(t)
	c := Join(hubA, hubB, Limits{})
	a.Close()
	<-c.Done()
	if err := c.Close(); err != nil {
		t.Errorf("an end that went is no fault: %v", err)
	}

	x, y, err := SocketPair()
	if err != nil {
		t.Fatal(err)
	}
	defer x.Close()
	_, hubB = streams(t)
	c = Join(Stream(y), hubB, Limits{})
	if _, err := x.Write([]byte{255, 255, 255, 255}); err != nil {
		t.Fatal(err)
	}
	<-c.Done()
	if err := c.Close(); !errors.Is(err, ErrFrame) {
		t.Errorf("after nonsense: %v, want %v", err, ErrFrame)
	}
}

// pipeEnd is an end whose frames come from and go to channels.
type pipeEnd struct {
	in, out chan []byte
	closed  chan struct{}
}

func newPipeEnd() *pipeEnd {
	return &pipeEnd{make(chan []byte), make(chan []byte), make(chan struct{})}
}

var errEnded = errors.New("ended")

func (p *pipeEnd) ReadFrame(b []byte) (int, error) {
	select {
	case f := <-p.in:
		return copy(b, f), nil
	case <-p.closed:
		return 0, errEnded
	}
}

func (p *pipeEnd) WriteFrame(b []byte) error {
	select {
	case p.out <- bytes.Clone(b):
		return nil
	case <-p.closed:
		return errEnded
	}
}

func (p *pipeEnd) Close() error { close(p.closed); return nil }

// TestFlood has a side send as fast as it can: it is held to its rate, and
// reported once.
func TestFlood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		guest, harness := newPipeEnd(), newPipeEnd()
		var reports []Counters
		c := Join(guest, harness, Limits{Rate: 100, Burst: 10, Patience: 2 * time.Second, Flood: func(side int, n Counters) {
			if side != 0 {
				t.Errorf("side %d is reported", side)
			}
			reports = append(reports, n)
		}})
		stop := make(chan struct{})
		go func() {
			for {
				select {
				case guest.in <- []byte("flood"):
				case <-stop:
					return
				}
			}
		}()
		start, heard := time.Now(), 0
		for time.Since(start) < 10*time.Second {
			<-harness.out
			heard++
		}
		if heard < 990 || heard > 1020 {
			t.Errorf("%d frames in 10 s, want 1000 and the burst", heard)
		}
		close(stop)
		if err := c.Close(); err != nil && !errors.Is(err, errEnded) {
			t.Error(err)
		}
		if len(reports) != 1 || !reports[0].Flooded || reports[0].Throttled < time.Second {
			t.Errorf("reports: %+v", reports)
		}
		if n := c.Counters(0); n.Dropped != 0 || !n.Flooded {
			t.Errorf("counters: %+v", n)
		}
	})
}

// TestSideThatTakesNothing holds the other side up once, and never again.
func TestSideThatTakesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		guest, dead := newPipeEnd(), newPipeEnd()
		c := Join(guest, dead, Limits{Queue: 4, Stall: time.Second})
		start := time.Now()
		for range 100 {
			guest.in <- []byte("frame")
		}
		synctest.Wait()
		if took := time.Since(start); took != time.Second {
			t.Errorf("100 frames took %v, want the stall of 1s", took)
		}
		// Four wait in the queue and one in the hand of who sends.
		if n := c.Counters(0); n.Frames != 100 || n.Dropped != 95 {
			t.Errorf("counters: %+v", n)
		}
		for range 5 { // it reads again, and the cable works as before
			<-dead.out
		}
		guest.in <- []byte("after")
		if got := <-dead.out; string(got) != "after" {
			t.Errorf("heard %q", got)
		}
		c.Close()
	})
}

func TestPacer(t *testing.T) {
	p := pacer{rate: 1000, burst: 10}
	now := time.Unix(0, 0)
	for i := range 10 {
		if d := p.next(now); d != 0 {
			t.Fatalf("frame %d of the burst waits %v", i, d)
		}
	}
	if d := p.next(now); d != time.Millisecond {
		t.Errorf("after the burst: %v, want the time of one frame", d)
	}
	if p.held == 0 {
		t.Error("it is not held")
	}
	now = now.Add(time.Second)
	if d := p.next(now); d != 0 || p.held != 0 {
		t.Errorf("after a pause: waits %v, held %v", d, p.held)
	}
}
