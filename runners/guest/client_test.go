package guest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestHandshakeSkipsGarbage(t *testing.T) {
	host, agent := socketPair(t)
	// Before the agent is up: firmware text, and the echo of our own request.
	echo, err := helloFrame("s1")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := agent.Write(append([]byte("Booting...\r\n\xF5HW"), echo...)); err != nil {
		t.Fatal(err)
	}
	if _, err := host.Write([]byte("\r\n~noise for the guest")); err != nil {
		t.Fatal(err)
	}
	over := serve(t, agent, testOps())
	c := connect(t, host, "s1")
	want := testHello
	want.Protocol, want.Session = ProtocolVersion, "s1"
	if diff := cmp.Diff(want, c.Hello()); diff != "" {
		t.Error(diff)
	}
	if c.Heartbeat().IsZero() {
		t.Error("the hello is no sign of life")
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	if !errors.Is(c.Err(), ErrClosed) || c.Ended() {
		t.Errorf("closed by us: %v, ended %v", c.Err(), c.Ended())
	}
	if s := receive(t, over); !errors.Is(s.err, ErrHostGone) {
		t.Errorf("agent saw %v", s.err)
	}
}

func TestConnectGivesUp(t *testing.T) {
	host, agent := socketPair(t)
	ctx, cancel := context.WithTimeout(context.Background(), 500*time.Millisecond)
	defer cancel()
	if _, err := Connect(ctx, host, "s"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("silent guest: %v", err)
	}
	// It was asked again and again until then.
	agent.SetReadDeadline(time.Now().Add(time.Second))
	if n, err := drain(newFrameReader(agent)); n < 2 {
		t.Errorf("%d hello requests, then %v", n, err)
	}

	host, agent = socketPair(t)
	agent.Close()
	if _, err := Connect(t.Context(), host, "s"); !errors.Is(err, ErrNoEndMarker) {
		t.Errorf("vanished guest: %v", err)
	}
	if _, err := Connect(t.Context(), host, "two\nlines"); err == nil {
		t.Error("a session id of two lines is accepted")
	}
}

func TestCallErrors(t *testing.T) {
	host, agent := socketPair(t)
	serve(t, agent, testOps())
	c := connect(t, host, "s")

	var echo struct{ X int }
	if err := c.Call(t.Context(), "echo", map[string]int{"x": 3}, &echo); err != nil || echo.X != 3 {
		t.Errorf("echo: %+v, %v", echo, err)
	}
	if err := c.Call(t.Context(), "none", nil, nil); err != nil {
		t.Errorf("none: %v", err)
	}
	var refused *RefusedError
	err := c.Call(t.Context(), "refused", nil, nil)
	if !errors.As(err, &refused) || refused.KernelRefused() != "connection 5 of 8: connect: EADDRNOTAVAIL (cannot assign requested address)" {
		t.Errorf("refused: %v", err)
	}
	err = c.Call(t.Context(), "bare", nil, nil)
	if !errors.As(err, &refused) || refused.KernelRefused() != "system call: ENOSPC (no space left on device)" {
		t.Errorf("bare: %v", err)
	}
	for op, want := range map[string]string{
		"wrong":   "wrong: agent: no such?thing",
		"panic":   "panic: agent: panic: oops",
		"large":   "large: agent: answer: frame is too large",
		"missing": `missing: agent: no operation "missing" in this agent`,
	} {
		var agentErr *AgentError
		if err := c.Call(t.Context(), op, nil, nil); !errors.As(err, &agentErr) || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%s: %v, want %s…", op, err, want)
		}
	}
	var agentErr *AgentError
	if err := c.Call(t.Context(), "echo", "text", new(int)); !errors.As(err, &agentErr) {
		t.Errorf("misfit answer: %v", err)
	}
	if err := c.Call(t.Context(), "echo", make([]byte, MaxPayload), nil); !errors.Is(err, ErrFrameSize) {
		t.Errorf("oversize arguments: %v", err)
	}
	if err := c.Call(t.Context(), "echo", 1, nil); err != nil {
		t.Errorf("the stream did not survive: %v", err)
	}
}

func TestManyCallsAtOnce(t *testing.T) {
	host, agent := socketPair(t)
	serve(t, agent, testOps())
	c := connect(t, host, "s")
	var wg sync.WaitGroup
	for i := range 2 * maxOutstanding { // more than there are slots: the rest waits
		wg.Go(func() {
			var got string
			want := fmt.Sprint(i, strings.Repeat("x", i))
			if err := c.Call(t.Context(), "echo", want, &got); err != nil || got != want {
				t.Errorf("call %d: %v", i, err)
			}
		})
	}
	wg.Wait()
}

func TestCancelReachesTheGuest(t *testing.T) {
	host, agent := socketPair(t)
	started, stopped := make(chan struct{}), make(chan error, 1)
	ops := testOps()
	ops["block"] = func(ctx context.Context, _ json.RawMessage) (any, error) {
		close(started)
		<-ctx.Done()
		stopped <- ctx.Err()
		return nil, ctx.Err()
	}
	serve(t, agent, ops)
	c := connect(t, host, "s")
	ctx, cancel := context.WithCancel(t.Context())
	result := make(chan error, 1)
	go func() { result <- c.Call(ctx, "block", nil, nil) }()
	receive(t, started)
	cancel()
	if err := receive(t, result); !errors.Is(err, context.Canceled) {
		t.Errorf("call: %v", err)
	}
	if err := receive(t, stopped); !errors.Is(err, context.Canceled) {
		t.Errorf("operation: %v", err)
	}
	// Its answer comes late, or not: either way nothing else is disturbed.
	if err := c.Call(t.Context(), "none", nil, nil); err != nil {
		t.Error(err)
	}
}

func TestTimeoutTravels(t *testing.T) {
	host, agent := socketPair(t)
	deadline := make(chan bool, 1)
	serve(t, agent, map[string]Operation{"ask": func(ctx context.Context, _ json.RawMessage) (any, error) {
		_, ok := ctx.Deadline()
		deadline <- ok
		return nil, nil
	}})
	c := connect(t, host, "s")
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for _, c2 := range []struct {
		ctx  context.Context
		want bool
	}{{ctx, true}, {t.Context(), false}} {
		if err := c.Call(c2.ctx, "ask", nil, nil); err != nil || receive(t, deadline) != c2.want {
			t.Errorf("deadline %v: %v", c2.want, err)
		}
	}
}
