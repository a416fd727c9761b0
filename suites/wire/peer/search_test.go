package peer

import (
	"net/netip"
	"testing"
	"time"

	"github.com/headwatch/headwatch/suites/wire"
)

// A search goes on until a number is liked, leaves one connection that works, and what was
// forgotten meanwhile is in no trace.
func TestDialWhere(t *testing.T) {
	ctx := within(t, 20*time.Second)
	s := newSetup(t, StackOptions{})
	l, err := s.guest.Listen("tcp4", 7)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	script, err := NewScript(s.nic, ScriptOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer script.Close()
	batches := 0
	to := netip.AddrPortFrom(Of(0, GuestHost).V4.Addr(), 7)
	like := func(isn wire.Seq) bool { return isn%64 == 5 }
	c, tried, err := script.DialWhere(ctx, to, ConnOptions{}, like, func() { batches++; s.cable.Forget() })
	if err != nil {
		t.Fatal(err)
	}
	if st := c.State(); !like(st.IRS) || tried != searchWidth*(batches+1) {
		t.Errorf("began at %d, after %d tries in %d batches", st.IRS, tried, batches+1)
	}
	guest, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer guest.Close()
	c.Write([]byte("hello"))
	got := make([]byte, 5)
	if _, err := guest.Read(got); err != nil || string(got) != "hello" {
		t.Errorf("%q, %v", got, err)
	}
	syns := 0
	for _, e := range s.cable.Trace().Events {
		var p wire.Packet
		if p.Decode(e.Frame); p.IsTCP && p.TCP.Flags == wire.SYN {
			syns++
		}
	}
	if syns != searchWidth {
		t.Errorf("%d SYNs in the trace, want those of the last batch, %d", syns, searchWidth)
	}
}
