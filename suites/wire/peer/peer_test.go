package peer

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/headwatch/headwatch/suites/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// pair gives both ends of a real unix socket, as QEMU and the host have them.
func pair(t *testing.T) (guest, host net.Conn) {
	t.Helper()
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	var ends [2]net.Conn
	for i, fd := range fds {
		f := os.NewFile(uintptr(fd), "wire")
		if ends[i], err = net.FileConn(f); err != nil {
			t.Fatal(err)
		}
		f.Close()
	}
	return ends[0], ends[1]
}

// setup is a cable under test with a stack in the guest's place: that is a station on
// another cable, whose "guest" is the first one.
type setup struct {
	cable *wire.Cable
	nic   *wire.NIC
	guest *Stack
}

func newSetup(t *testing.T, guest StackOptions, rules ...wire.Rule) *setup {
	t.Helper()
	c, err := wire.New(wire.Config{Seed: 1, Rules: rules})
	if err != nil {
		t.Fatal(err)
	}
	s := &setup{cable: c, nic: c.NIC(0)}
	s.guest = plug(t, s.nic, guest)
	t.Cleanup(func() {
		if _, err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// plug puts a stack in a guest's place.
func plug(t *testing.T, nic *wire.NIC, o StackOptions) *Stack {
	t.Helper()
	guestEnd, hostEnd := pair(t)
	inside, err := wire.New(wire.Config{Trace: wire.TraceOptions{Bytes: 1}})
	if err != nil {
		t.Fatal(err)
	}
	o.Address = Of(nic.Number(), GuestHost)
	guest, err := NewStack(inside.NIC(0), o)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(inside.NIC(0).Plug(guestEnd), nic.Plug(hostEnd)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		guest.Close()
		if _, err := inside.Close(); err != nil {
			t.Error(err)
		}
	})
	return guest
}

func noise(n int) []byte {
	b := make([]byte, n)
	rng := rand.NewChaCha8([32]byte{1})
	rng.Read(b)
	return b
}

// carry sends data both ways at once between a listener and a dialler, and compares.
func carry(t *testing.T, ctx context.Context, from *Stack, to *Stack, network string, size int) {
	t.Helper()
	l, err := to.Listen(network, 80)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	data := noise(size)
	done := make(chan error, 2)
	talk := func(c net.Conn, err error) {
		if err != nil {
			done <- err
			return
		}
		defer c.Close()
		deadline, _ := ctx.Deadline()
		c.SetDeadline(deadline)
		sent := make(chan error, 1)
		go func() {
			_, err := c.Write(data)
			sent <- errors.Join(err, c.(interface{ CloseWrite() error }).CloseWrite())
		}()
		got, err := io.ReadAll(c)
		err = errors.Join(err, <-sent)
		if err == nil && !bytes.Equal(got, data) {
			err = errors.New("other data came out than went in")
		}
		done <- err
	}
	go func() { talk(l.Accept()) }()
	self := to.Address().V4.Addr()
	if network == "tcp6" {
		self = to.Address().V6.Addr()
	}
	go func() { talk(from.Dial(ctx, netip.AddrPortFrom(self, 80))) }()
	for range 2 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

// TestStacks carries data between two real stacks through losses and worse.
func TestStacks(t *testing.T) {
	bad := []wire.Rule{
		{Name: "loss", Match: wire.Match{Proto: "tcp", Data: true, Probability: .01}, Do: wire.Action{Drop: true}},
		{Name: "swap", Match: wire.Match{Data: true, Probability: .02}, Do: wire.Action{Hold: &wire.Hold{Frames: 2, Limit: 5 * wire.Millisecond}}},
		{Name: "twice", Match: wire.Match{Data: true, Probability: .02}, Do: wire.Action{Duplicate: &wire.Duplicate{Copies: 1, Gap: wire.Millisecond}}},
		{Name: "flip", Match: wire.Match{Data: true, Probability: .005}, Do: wire.Action{Corrupt: &wire.Corrupt{Bits: 1, In: "payload"}}},
	}
	for _, network := range []string{"tcp4", "tcp6"} {
		t.Run(network, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			s := newSetup(t, StackOptions{}, bad...)
			peer, err := NewStack(s.nic, StackOptions{})
			if err != nil {
				t.Fatal(err)
			}
			defer peer.Close()
			carry(t, ctx, s.guest, peer, network, 1<<20)
			trace, err := s.cable.Close()
			if err != nil {
				t.Fatal(err)
			}
			again, hits := 0, map[string]int{}
			var streams wire.Streams
			for _, e := range trace.Events {
				var p wire.Packet
				p.Decode(e.Frame)
				place := streams.See(e.NIC, e.Dir, &p)
				if len(p.TCP.Payload) > 0 && place.Transmissions(place.Data) > 1 {
					again++
				}
				for _, r := range e.Rules {
					hits[r]++
				}
				if place.Stream != e.Stream {
					t.Fatalf("event %d is of stream %d, and of %d when looked at again", e.N, e.Stream, place.Stream)
				}
			}
			if again == 0 || hits["loss"] == 0 || hits["swap"] == 0 || hits["twice"] == 0 || hits["flip"] == 0 {
				t.Errorf("%d retransmissions, %v", again, hits)
			}
		})
	}
}

// TestOneLoss drops one segment once: exactly its bytes are sent again, and nothing
// else, by a sender that has SACK.
func TestOneLoss(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	s := newSetup(t, StackOptions{}, wire.DropMask("tenth", 1, wire.FromGuest, 1<<9))
	script, err := NewScript(s.nic, ScriptOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer script.Close()
	data := noise(100 << 10)
	sent := make(chan error, 1)
	go func() {
		c, err := s.guest.Dial(ctx, netip.AddrPortFrom(script.Address().V4.Addr(), 5000))
		if err == nil {
			_, err = c.Write(data)
			err = errors.Join(err, c.(interface{ CloseWrite() error }).CloseWrite())
			defer c.Close()
		}
		sent <- err
	}()
	c, err := script.Accept(ctx, 5000, ConnOptions{ISN: 4294967000, Scale: 7, Timestamps: true})
	if err != nil {
		t.Fatal(err)
	}
	if err := <-sent; err != nil {
		t.Fatal(err)
	}
	if _, err := c.Expect(ctx, func(*wire.Packet) bool { return c.rcvNext() == c.irs+2+wire.Seq(len(data)) }); err != nil {
		t.Fatal(err)
	}
	st := c.State()
	if !bytes.Equal(st.Received, data) || st.Changed || !st.SACK || !st.Stamps {
		t.Errorf("%d of %d bytes, sack %v, stamps %v", len(st.Received), len(data), st.SACK, st.Stamps)
	}
	trace := s.cable.Trace()
	var streams wire.Streams
	var lost, again wire.Range
	sacks := 0
	for _, e := range trace.Events {
		var p wire.Packet
		p.Decode(e.Frame)
		place := streams.See(e.NIC, e.Dir, &p)
		if e.Dropped() && e.Held == 0 {
			lost = place.Data
		}
		if e.Dir == wire.FromGuest && len(p.TCP.Payload) > 0 && place.Transmissions(place.Data) > 1 {
			if again != (wire.Range{}) {
				t.Errorf("more than one retransmission: %v after %v", place.Data, again)
			}
			again = place.Data
		}
		if blocks := p.TCP.Options.SACK(); e.Dir == wire.ToGuest && len(blocks) > 0 {
			sacks++
			if got := int64(blocks[0].Start.From(st.IRS + 1)); got != lost.To || len(blocks) != 1 {
				t.Errorf("SACK %v; lost were %v", blocks, lost)
			}
		}
	}
	if lost == (wire.Range{}) || lost != again || sacks < 3 {
		t.Errorf("lost %v, sent again %v, %d SACKs", lost, again, sacks)
	}
}

// TestSecondTransmission drops a segment and its first retransmission: only the
// timeout helps.
func TestSecondTransmission(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	s := newSetup(t, StackOptions{}, wire.Rule{
		Name: "twice", Match: wire.Match{Dir: wire.FromGuest, Stream: 1, Bytes: wire.Range{From: 14480, To: 14481}, Transmissions: []int{1, 2}},
		Do: wire.Action{Drop: true},
	})
	peer, err := NewStack(s.nic, StackOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer peer.Close()
	carry(t, ctx, s.guest, peer, "tcp4", 64<<10)
	dropped := 0
	for _, e := range s.cable.Trace().Events {
		if e.Dropped() && e.Held == 0 {
			dropped++
		}
	}
	if n := s.guest.Stats()["Timeouts"]; dropped != 2 || n == 0 {
		t.Errorf("%d dropped, %d timeouts", dropped, n)
	}
}
