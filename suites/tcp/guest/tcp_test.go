package guest

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/headwatch/headwatch/suites"
)

// desk calls operations as a case does.
type desk struct {
	t   *testing.T
	ops map[string]suites.Operation
}

func newDesk(t *testing.T) desk { return desk{t, Operations()} }

func (d desk) call(ctx context.Context, op string, args, result any) error {
	d.t.Helper()
	raw, err := json.Marshal(args)
	if err != nil {
		d.t.Fatal(err)
	}
	answer, err := d.ops[op](ctx, raw)
	if err != nil {
		return err
	}
	if raw, err = json.Marshal(answer); err != nil {
		d.t.Fatal(err)
	}
	return json.Unmarshal(raw, result)
}

func must[R any](d desk, op string, args any) (r R) {
	d.t.Helper()
	if err := d.call(d.t.Context(), op, args, &r); err != nil {
		d.t.Fatalf("%s: %v", op, err)
	}
	return r
}

// pair is a connection of the loopback: the ids of both ends.
func (d desk) pair() (client, server Socket) {
	d.t.Helper()
	l := must[Socket](d, OpListen, ListenArgs{Network: "tcp4", Addr: "127.0.0.1:0", Backlog: 1})
	client = must[Socket](d, OpConnect, ConnectArgs{Network: "tcp4", Addr: l.Local, TimeoutS: 5, Options: map[string]string{"nodelay": "1"}})
	server = must[Socket](d, OpAccept, AcceptArgs{ID: l.ID, TimeoutS: 5})
	must[Closed](d, OpClose, CloseArgs{ID: l.ID})
	if client.ID == 0 || server.ID == 0 || client.Local != server.Remote {
		d.t.Fatalf("%+v and %+v are no connection", client, server)
	}
	return client, server
}

func TestBytesArrive(t *testing.T) {
	d := newDesk(t)
	client, server := d.pair()
	sent := make(chan Moved, 1)
	go func() {
		var m Moved
		d.call(t.Context(), OpSend, SendArgs{ID: client.ID, Seed: 7, Bytes: 300_001, Chunk: 1000, StallS: 5, Shut: true}, &m)
		sent <- m
	}()
	m := must[Moved](d, OpReceive, ReceiveArgs{ID: server.ID, Seed: 7, StallS: 5})
	if m.Bytes != 300_001 || m.Wrong || !m.Ended || m.Errno != "" {
		t.Errorf("received %+v", m)
	}
	if m := <-sent; m.Bytes != 300_001 || m.Errno != "" {
		t.Errorf("sent %+v", m)
	}
	must[Moved](d, OpSend, SendArgs{ID: server.ID, Seed: 8, Bytes: 100, StallS: 5})
	if m := must[Moved](d, OpReceive, ReceiveArgs{ID: client.ID, Seed: 9, From: 50, Bytes: 100, StallS: 5}); !m.Wrong || m.At < 50 || m.At > 53 {
		t.Errorf("another content was not noticed: %+v", m)
	}
	i := must[Info](d, OpInfo, IDArgs{ID: client.ID})
	if len(i.Data) < 104 {
		t.Errorf("tcp_info of %d bytes", len(i.Data))
	}
}

func TestKernelsWordsAreAnswers(t *testing.T) {
	d := newDesk(t)
	l := must[Socket](d, OpListen, ListenArgs{Network: "tcp6", Addr: "[::1]:0"})
	if s := must[Socket](d, OpAccept, AcceptArgs{ID: l.ID, TimeoutS: 0.01}); !s.TimedOut || s.ID != 0 {
		t.Errorf("nobody connected: %+v", s)
	}
	must[Closed](d, OpClose, CloseArgs{ID: l.ID})
	if s := must[Socket](d, OpConnect, ConnectArgs{Network: "tcp6", Addr: l.Local, TimeoutS: 5}); s.Errno != "ECONNREFUSED" {
		t.Errorf("nobody listens: %+v", s)
	}
	client, server := d.pair()
	must[Closed](d, OpClose, CloseArgs{ID: client.ID, Abort: true})
	if m := must[Moved](d, OpReceive, ReceiveArgs{ID: server.ID, StallS: 5}); m.Errno != "ECONNRESET" {
		t.Errorf("after a reset: %+v", m)
	}
	client, server = d.pair()
	if m := must[Moved](d, OpReceive, ReceiveArgs{ID: server.ID, Bytes: 1, StallS: 0.01}); !m.Stalled {
		t.Errorf("nothing came: %+v", m)
	}
	o := must[Options](d, OpOption, OptionArgs{ID: client.ID, Set: map[string]string{"keepidle": "77"}, Get: []string{"keepidle", "congestion", "error"}})
	if o.Values["keepidle"] != "77" || o.Values["congestion"] == "" || o.Values["error"] != "0" {
		t.Errorf("options %v", o.Values)
	}
}

func TestBadArguments(t *testing.T) {
	d := newDesk(t)
	client, _ := d.pair()
	for op, args := range map[string]any{
		OpListen:  ListenArgs{Network: "udp", Addr: "127.0.0.1:0"},
		OpConnect: ConnectArgs{Network: "tcp4", Addr: "127.0.0.1:1", Options: map[string]string{"nonsense": "1"}},
		OpAccept:  AcceptArgs{ID: client.ID},
		OpSend:    SendArgs{ID: client.ID, Bytes: -1, StallS: 1},
		OpReceive: ReceiveArgs{ID: 99, StallS: 1},
		OpClose:   CloseArgs{ID: 99},
		OpRounds:  RoundsArgs{Network: "tcp4", Addr: "127.0.0.1:1", Count: 1, End: "never", StallS: 1},
	} {
		if err := d.call(t.Context(), op, args, &struct{}{}); err == nil {
			t.Errorf("%s %+v: no error", op, args)
		}
	}
}

func TestStopsWithItsContext(t *testing.T) {
	d := newDesk(t)
	_, server := d.pair()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- d.call(ctx, OpReceive, ReceiveArgs{ID: server.ID, Bytes: 1, StallS: 3600}, &Moved{}) }()
	cancel()
	select {
	case err := <-ended:
		if err == nil {
			t.Error("no error")
		}
	case <-time.After(10 * time.Second):
		t.Error("still waiting")
	}
}

func TestRounds(t *testing.T) {
	d := newDesk(t)
	l := must[Socket](d, OpListen, ListenArgs{Network: "tcp4", Addr: "127.0.0.1:0"})
	const count = 20
	served := make(chan error, 1)
	go func() { served <- d.serve(t.Context(), l.ID, count) }()
	r := must[Rounds](d, OpRounds, RoundsArgs{Network: "tcp4", Addr: l.Local, Count: count, Parallel: 3, Up: 10_000, Down: 5_000, End: "close", StallS: 5})
	if err := <-served; err != nil || r.Done != count || len(r.Errnos) != 0 || r.Stalled != 0 {
		t.Errorf("%+v, %v", r, err)
	}
}

// serve is the other end of rounds that close.
func (d desk) serve(ctx context.Context, listener, count int) error {
	for range count {
		var s Socket
		if err := d.call(ctx, OpAccept, AcceptArgs{ID: listener, TimeoutS: 5}, &s); err != nil {
			return err
		}
		var in, out Moved
		if err := d.call(ctx, OpReceive, ReceiveArgs{ID: s.ID, StallS: 5}, &in); err != nil {
			return err
		}
		if in.Bytes != 10_000 || in.Wrong || !in.Ended {
			return fmt.Errorf("received %+v", in)
		}
		if err := d.call(ctx, OpSend, SendArgs{ID: s.ID, Bytes: 5_000, StallS: 5, Shut: true}, &out); err != nil {
			return err
		}
		if err := d.call(ctx, OpClose, CloseArgs{ID: s.ID}, &Closed{}); err != nil {
			return err
		}
	}
	return nil
}
