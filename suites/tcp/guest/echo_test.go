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
