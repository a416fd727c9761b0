package guest

import (
	"testing"
)

func TestEcho(t *testing.T) {
	d := newDesk(t)
	client, server := d.pair()
	done := make(chan Moved, 1)
	go func() { done <- must[Moved](d, OpEcho, EchoArgs{ID: server.ID, Bytes: 100, StallS: 5}) }()
	must[Moved](d, OpSend, SendArgs{ID: client.ID, Seed: 7, Bytes: 100, StallS: 5})
	got := must[Moved](d, OpReceive, ReceiveArgs{ID: client.ID, Seed: 7, Bytes: 100, StallS: 5})
	if m := <-done; m.Bytes != 100 || m.Errno != "" || m.Stalled || got.Bytes != 100 || got.Wrong {
		t.Errorf("%+v, %+v", m, got)
	}
	if m := must[Moved](d, OpEcho, EchoArgs{ID: server.ID, Bytes: 1, StallS: .05}); !m.Stalled || m.Bytes != 0 {
		t.Errorf("nothing came: %+v", m)
	}
	if err := d.call(t.Context(), OpEcho, EchoArgs{ID: server.ID, StallS: 1}, nil); err == nil {
		t.Error("an echo of no bytes")
	}
}

func TestSendFromAFile(t *testing.T) {
	d := newDesk(t)
	client, server := d.pair()
	const size = 3 << 20 // more than the buffers hold
	done := make(chan Moved, 1)
	go func() {
		done <- must[Moved](d, OpSend, SendArgs{ID: client.ID, Seed: 9, From: 100, Bytes: size, StallS: 5, File: true, Shut: true})
	}()
	got := must[Moved](d, OpReceive, ReceiveArgs{ID: server.ID, Seed: 9, From: 100, StallS: 5})
	if m := <-done; m.Bytes != size || m.Errno != "" || m.Stalled || got.Bytes != size || got.Wrong || !got.Ended {
		t.Errorf("%+v, %+v", m, got)
	}
	client, server = d.pair()
	if m := must[Moved](d, OpSend, SendArgs{ID: client.ID, Bytes: MaxFile, StallS: .05, File: true}); !m.Stalled && m.Bytes < MaxFile {
		t.Errorf("nobody reads: %+v", m)
	}
	must[Closed](d, OpClose, CloseArgs{ID: server.ID})
}

func TestServe(t *testing.T) {
	d := newDesk(t)
	l := must[Socket](d, OpListen, ListenArgs{Network: "tcp4", Addr: "127.0.0.1:0"})
	const count = 20
	served := make(chan Rounds, 1)
	go func() {
		served <- must[Rounds](d, OpServe, ServeArgs{ID: l.ID, Rounds: RoundsArgs{Count: count, Parallel: 2, Up: 3000, Down: 1000, End: "close", StallS: 5}})
	}()
	r := must[Rounds](d, OpRounds, RoundsArgs{Network: "tcp4", Addr: l.Local, Count: count, Parallel: 3, Up: 1000, Down: 3000, End: "close", StallS: 5})
	if s := <-served; r.Done != count || s.Done != count || len(s.Errnos) != 0 || s.Stalled != 0 {
		t.Errorf("%+v, %+v", r, s)
	}
}
