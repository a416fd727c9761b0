package guest

import (
	"context"
	"errors"
	"os"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"net"
)

// powerOff answers a power-off as the agent does: after says what it does once
// the marker is out.
func powerOff(t *testing.T, over <-chan served, after func(*Ending)) <-chan error {
	result := make(chan error, 1)
	go func() {
		s := <-over
		if s.err != nil {
			result <- s.err
			return
		}
		err := s.ending.Bye(context.Background())
		after(s.ending)
		result <- err
	}()
	return result
}

func TestPowerOff(t *testing.T) {
	host, agent := socketPair(t)
	agentDone := powerOff(t, serve(t, agent, testOps()), func(*Ending) { agent.Close() })
	c := connect(t, host, "s")
	waiting := make(chan error, 1)
	go func() { waiting <- c.Call(t.Context(), "wait", nil, nil) }()
	if err := c.PowerOff(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := receive(t, agentDone); err != nil {
		t.Errorf("the marker was not acknowledged: %v", err)
	}
	receive(t, c.Done())
	if !c.Ended() || c.Err() != nil {
		t.Errorf("ended %v, %v", c.Ended(), c.Err())
	}
	if err := receive(t, waiting); err == nil {
		t.Error("an operation outlived the power-off")
	}
	if err := c.Call(t.Context(), "none", nil, nil); !errors.Is(err, ErrClosed) {
		t.Errorf("call after the end: %v", err)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
}

func TestPowerOffRefused(t *testing.T) {
	refusal := os.NewSyscallError("reboot", syscall.EIO)
	t.Run("before the marker", func(t *testing.T) {
		host, agent := socketPair(t)
		over := serve(t, agent, nil)
		go func() { s := <-over; s.ending.Refuse(context.Background(), refusal) }()
		c := connect(t, host, "s")
		var refused *RefusedError
		if err := c.PowerOff(t.Context()); !errors.As(err, &refused) || refused.Errno != "EIO" {
			t.Errorf("%v", err)
		}
		if c.Ended() {
			t.Error("ended without the marker")
		}
	})
	t.Run("after the marker", func(t *testing.T) {
		host, agent := socketPair(t)
		done := powerOff(t, serve(t, agent, nil), func(e *Ending) {
			e.Refuse(context.Background(), refusal)
			agent.Close()
		})
		c := connect(t, host, "s")
		if err := c.PowerOff(t.Context()); err != nil {
			t.Errorf("the marker came, but: %v", err)
		}
		receive(t, done)
		receive(t, c.Done())
		var refused *RefusedError
		if err := c.Err(); !errors.As(err, &refused) || refused.KernelRefused() != "reboot: EIO (input/output error)" {
			t.Errorf("%v", err)
		}
	})
}

func TestPowerOffWithoutMarker(t *testing.T) {
	host, agent := socketPair(t)
	over := serve(t, agent, nil)
	go func() { <-over; agent.Close() }()
	c := connect(t, host, "s")
	if err := c.PowerOff(t.Context()); !errors.Is(err, ErrNoEndMarker) || !errors.Is(err, ErrClosed) {
		t.Errorf("%v", err)
	}
	if c.Ended() || !errors.Is(c.Err(), ErrNoEndMarker) {
		t.Errorf("ended %v, %v", c.Ended(), c.Err())
	}
}

// A frozen guest is cloned: the new host's hello arrives in the stream of the
// session before, whose operations still run.
func TestNewSessionInTheSameStream(t *testing.T) {
	host, agent := socketPair(t)
	serve(t, agent, testOps())
	first := connect(t, keep{host}, "one")
	waiting := make(chan error, 1)
	go func() { waiting <- first.Call(context.Background(), "wait", nil, nil) }()
	if err := first.Call(t.Context(), "none", nil, nil); err != nil {
		t.Fatal(err)
	}
	host.SetReadDeadline(time.Now()) // the first host's reader ends; the stream stays
	receive(t, first.Done())
	if err := receive(t, waiting); !errors.Is(err, ErrClosed) {
		t.Errorf("first host's call: %v", err)
	}
	host.SetReadDeadline(time.Time{})

	second := connect(t, host, "two")
	if second.Hello().Session != "two" {
		t.Errorf("%+v", second.Hello())
	}
	var got int
	if err := second.Call(t.Context(), "echo", 5, &got); err != nil || got != 5 {
		t.Errorf("second session: %d, %v", got, err)
	}
	if i := second.Ignored(); i.Unknown != 0 || i.Late != 0 {
		t.Errorf("answers of the first session reached the second: %+v", i)
	}
}

// keep is a conn that survives its client.
type keep struct{ net.Conn }

func (keep) Close() error { return nil }

// A virtio port says end-of-file when the host goes away; the agent serves the
// next one on the same port.
func TestNextHostAfterHangUp(t *testing.T) {
	for i := range 3 {
		host, agent := socketPair(t)
		over := serve(t, agent, testOps())
		c := connect(t, host, "again")
		if err := c.Call(t.Context(), "none", nil, nil); err != nil {
			t.Fatalf("host %d: %v", i, err)
		}
		c.Close()
		if s := receive(t, over); !errors.Is(s.err, ErrHostGone) {
			t.Errorf("host %d: %v", i, s.err)
		}
	}
}

func TestServeStopsWithItsContext(t *testing.T) {
	host, agent := socketPair(t)
	ctx, cancel := context.WithCancelCause(context.Background())
	over := make(chan served, 1)
	go func() {
		ending, err := Serve(ctx, agent, testHello, testOps())
		over <- served{ending, err}
	}()
	c := connect(t, host, "s")
	why := errors.New("service stops")
	cancel(why)
	if s := receive(t, over); !errors.Is(s.err, why) || s.ending != nil {
		t.Errorf("%+v", s)
	}
	agent.Close()
	receive(t, c.Done())
	if !errors.Is(c.Err(), ErrNoEndMarker) {
		t.Errorf("%v", c.Err())
	}
}

func TestHeartbeat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		host, agent := net.Pipe()
		over := serve(t, agent, testOps())
		c, err := Connect(t.Context(), host, "s")
		if err != nil {
			t.Fatal(err)
		}
		for range 5 {
			time.Sleep(3 * heartbeatEvery)
			synctest.Wait()
			if silent := time.Since(c.Heartbeat()); silent > heartbeatEvery {
				t.Errorf("silent for %v", silent)
			}
		}
		c.Close()
		<-over
	})
}
