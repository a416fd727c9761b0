package guest

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// terminal is a guest's end that drops what it has no room for, as FreeBSD's
// tty(4) does (docs/freebsd.md), and whose reader takes little at a time.
type terminal struct {
	net.Conn
	room, sip int
	pace      time.Duration // for each sip

	mu      sync.Mutex
	filled  *sync.Cond
	buf     []byte
	most    int
	dropped int
	over    bool
}

func newTerminal(conn net.Conn, room, sip int, pace time.Duration) *terminal {
	tty := &terminal{Conn: conn, room: room, sip: sip, pace: pace}
	tty.filled = sync.NewCond(&tty.mu)
	go func() {
		b := make([]byte, 4096)
		for {
			n, err := conn.Read(b)
			tty.mu.Lock()
			kept := min(n, tty.room-len(tty.buf))
			tty.buf = append(tty.buf, b[:kept]...)
			tty.dropped += n - kept
			tty.most = max(tty.most, len(tty.buf))
			tty.over = err != nil
			tty.filled.Signal()
			tty.mu.Unlock()
			if err != nil {
				return
			}
		}
	}()
	return tty
}

func (t *terminal) Read(b []byte) (int, error) {
	time.Sleep(t.pace)
	t.mu.Lock()
	defer t.mu.Unlock()
	for len(t.buf) == 0 {
		if t.over {
			return 0, io.EOF
		}
		t.filled.Wait()
	}
	n := copy(b[:min(len(b), t.sip)], t.buf)
	t.buf = t.buf[n:]
	return n, nil
}

// held is the most that was in it at once, lost what it had no room for.
func (t *terminal) held() (most, lost int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.most, t.dropped
}

// SetDeadline is not to be had: the end of the host ends this.
func (t *terminal) SetDeadline(time.Time) error { return os.ErrNoDeadline }

// onTerminal serves a guest with this window on a terminal, in false time.
func onTerminal(t *testing.T, room, window int, do func(*testing.T, *Client, *terminal)) {
	synctest.Test(t, func(t *testing.T) {
		host, agent := net.Pipe()
		tty := newTerminal(agent, room, 128, time.Millisecond)
		over := make(chan error, 1)
		go func() {
			h := testHello
			h.Window = window
			_, err := Serve(context.Background(), tty, h, testOps())
			agent.Close()
			over <- err
		}()
		c, err := Connect(t.Context(), host, "s")
		if err != nil {
			t.Fatal(err)
		}
		do(t, c, tty)
		c.Close()
		<-over
	})
}

func TestLongRequestsOnATerminal(t *testing.T) {
	for name, c := range map[string]struct{ room, window, size int }{
		"UART, 8 kB":    {384, 256, 8000},
		"UART, 100 kB":  {384, 256, 100_000},
		"virtio, 30 kB": {23_040, 8192, 30_000},
		"virtio, 1 MiB": {23_040, 8192, MaxPayload - 100},
	} {
		t.Run(name, func(t *testing.T) {
			onTerminal(t, c.room, c.window, func(t *testing.T, client *Client, tty *terminal) {
				want, got := strings.Repeat("x", c.size), ""
				if err := client.Call(t.Context(), "echo", want, &got); err != nil || got != want {
					t.Errorf("%d bytes back, %v", len(got), err)
				}
				if most, lost := tty.held(); lost > 0 || most > c.window+200 {
					t.Errorf("held %d bytes, dropped %d", most, lost)
				}
			})
		})
	}
}

// The model loses what it should: a window that is no promise of the channel's
// costs the session.
func TestTerminalDrops(t *testing.T) {
	onTerminal(t, 23_040, wideWindow, func(t *testing.T, c *Client, tty *terminal) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		err := c.Call(ctx, "echo", strings.Repeat("x", 60_000), nil)
		if _, lost := tty.held(); err == nil || lost == 0 {
			t.Errorf("%d bytes dropped, %v", lost, err)
		}
	})
}

// While a long request is on its way, which takes 6 s here, short ones, heartbeats
// and cancels keep the pace of the window.
func TestNothingWaitsForALongRequest(t *testing.T) {
	onTerminal(t, 384, 256, func(t *testing.T, c *Client, _ *terminal) {
		start := time.Now()
		first, second := make(chan error, 1), make(chan error, 1)
		hurry, giveUp := context.WithCancel(t.Context())
		go func() { first <- c.Call(t.Context(), "none", strings.Repeat("x", 700_000), nil) }()
		for i := range 10 {
			time.Sleep(100 * time.Millisecond)
			at := time.Now()
			var got int
			if err := c.Call(t.Context(), "echo", i, &got); err != nil || got != i || time.Since(at) > 50*time.Millisecond {
				t.Errorf("short call: %v after %v", err, time.Since(at))
			}
		}
		time.Sleep(3 * heartbeatEvery)
		if silent := time.Since(c.Heartbeat()); silent > heartbeatEvery {
			t.Errorf("silent for %v", silent)
		}
		waiting := make(chan error, 1)
		go func() { waiting <- c.Call(hurry, "wait", nil, nil) }()
		go func() { second <- c.Call(hurry, "none", strings.Repeat("y", 1000), nil) }() // its turn has not come
		synctest.Wait()
		giveUp()
		if err := <-waiting; !errors.Is(err, context.Canceled) {
			t.Errorf("cancelled: %v", err)
		}
		if err := <-second; !errors.Is(err, context.Canceled) {
			t.Errorf("cancelled in the queue: %v", err)
		}
		if err := <-first; err != nil {
			t.Errorf("the long one: %v", err)
		}
		if took := time.Since(start); took < 5*time.Second || took > 20*time.Second {
			t.Errorf("the long one took %v", took)
		}
	})
}

// A long request that is given up half-way is forgotten at both ends.
func TestDroppedRequest(t *testing.T) {
	onTerminal(t, 384, 256, func(t *testing.T, c *Client, tty *terminal) {
		for range 3 {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			if err := c.Call(ctx, "none", strings.Repeat("x", 500_000), nil); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%v", err)
			}
			cancel()
			at := time.Now()
			want, got := strings.Repeat("z", 3000), ""
			if err := c.Call(t.Context(), "echo", want, &got); err != nil || got != want || time.Since(at) > time.Second {
				t.Errorf("the next one: %v after %v", err, time.Since(at))
			}
		}
		if _, lost := tty.held(); lost > 0 {
			t.Errorf("%d bytes lost", lost)
		}
	})
}

// The end comes through although the host's window is full and nobody gives
// credit any more.
func TestPowerOffWithAFullWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		host, agent := net.Pipe()
		h := testHello
		h.Window = minWindow
		done := make(chan error, 1)
		go func() {
			ending, err := Serve(t.Context(), agent, h, testOps())
			if err == nil {
				err = ending.Bye(t.Context())
			}
			agent.Close()
			done <- err
		}()
		c, err := Connect(t.Context(), host, "s")
		if err != nil {
			t.Fatal(err)
		}
		long := make(chan error, 1)
		go func() { long <- c.Call(t.Context(), "none", strings.Repeat("x", MaxPayload-100), nil) }()
		if err := c.PowerOff(t.Context()); err != nil {
			t.Error(err)
		}
		if err := <-done; err != nil {
			t.Errorf("the marker was not returned: %v", err)
		}
		if err := <-long; !errors.Is(err, ErrClosed) {
			t.Errorf("the long request: %v", err)
		}
		c.Close()
	})
}

// A new host says hello anywhere within the pieces of the one before, and
// neither pieces nor credit of that one are its.
func TestNewSessionWithinALongRequest(t *testing.T) {
	h := testHello
	h.Window = minWindow
	size := pieceSize(minWindow)
	long := pieces{[]byte(`{"id":1,"op":"echo","args":"` + strings.Repeat("x", 5*size) + `"}`), size}
	var stream []byte
	for last := false; !last; {
		var b []byte
		b, last, _ = long.next()
		stream = append(stream, b...)
	}
	first, _ := helloFrame("first")
	for cut := 0; cut < len(stream); cut += 13 {
		host, agent := socketPair(t)
		go Serve(t.Context(), agent, h, testOps())
		// A client of its own would race with the cut.
		if _, err := host.Write(append(first[:len(first):len(first)], stream[:cut]...)); err != nil {
			t.Fatal(err)
		}
		c := connect(t, host, "second")
		want, got := strings.Repeat("y", 3000), ""
		if err := c.Call(t.Context(), "echo", want, &got); err != nil || got != want {
			t.Fatalf("cut at %d: %v", cut, err)
		}
		c.Close()
	}
}
