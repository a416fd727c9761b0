package plot

import (
	"context"
	"errors"
	"flag"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/headwatch/headwatch/suites/wire"
	"github.com/headwatch/headwatch/suites/wire/judge"
	"github.com/headwatch/headwatch/suites/wire/peer"
)

var folder = flag.String("pictures", "", "write the pictures of real traces to this `folder`")

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// both gives the ends of a unix socket.
func both(t testing.TB) (ends [2]net.Conn) {
	t.Helper()
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	for i, fd := range fds {
		f := os.NewFile(uintptr(fd), "wire")
		if ends[i], err = net.FileConn(f); err != nil {
			t.Fatal(err)
		}
		f.Close()
	}
	return ends
}

// transfer has a real TCP stack in the guest's place send and receive so many bytes at
// once over a wire with these rules, and gives what crossed it.
func transfer(t testing.TB, out, in int, rules ...wire.Rule) *wire.Trace {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	cable, err := wire.New(wire.Config{Seed: 7, Rules: rules})
	if err != nil {
		t.Fatal(err)
	}
	inside, err := wire.New(wire.Config{Trace: wire.TraceOptions{Bytes: 1}})
	if err != nil {
		t.Fatal(err)
	}
	guest, err := peer.NewStack(inside.NIC(0), peer.StackOptions{Address: peer.Of(0, peer.GuestHost)})
	if err != nil {
		t.Fatal(err)
	}
	ends := both(t)
	if err := errors.Join(inside.NIC(0).Plug(ends[0]), cable.NIC(0).Plug(ends[1])); err != nil {
		t.Fatal(err)
	}
	host, err := peer.NewStack(cable.NIC(0), peer.StackOptions{})
	if err != nil {
		t.Fatal(err)
	}
	l, err := host.Listen("tcp4", 80)
	if err != nil {
		t.Fatal(err)
	}
	talk := func(size int, open func() (net.Conn, error)) error {
		c, err := open()
		if err != nil {
			return err
		}
		defer c.Close()
		deadline, _ := ctx.Deadline()
		c.SetDeadline(deadline)
		sent := make(chan error, 1)
		go func() {
			_, err := c.Write(make([]byte, size))
			sent <- errors.Join(err, c.(interface{ CloseWrite() error }).CloseWrite())
		}()
		_, err = io.Copy(io.Discard, c)
		return errors.Join(err, <-sent)
	}
	done := make(chan error, 1)
	go func() { done <- talk(in, l.Accept) }()
	err = talk(out, func() (net.Conn, error) {
		return guest.Dial(ctx, netip.AddrPortFrom(host.Address().V4.Addr(), 80))
	})
	if err := errors.Join(err, <-done, l.Close()); err != nil {
		t.Fatal(err)
	}
	guest.Close()
	host.Close()
	_, err = inside.Close()
	trace, cerr := cable.Close()
	if err := errors.Join(err, cerr); err != nil {
		t.Fatal(err)
	}
	return trace
}

// TestReal draws what real stacks did on wires that lose, delay, double and reorder.
func TestReal(t *testing.T) {
	path := wire.Path(20e6, wire.Duration(20*time.Millisecond), 32<<10)
	for name, rules := range map[string][]wire.Rule{
		"lossy": append([]wire.Rule{
			{Name: "loss", Match: wire.Match{Dir: wire.FromGuest, Data: true, Probability: 0.02}, Do: wire.Action{Drop: true}},
			{Name: "back", Match: wire.Match{Dir: wire.ToGuest, Probability: 0.01}, Do: wire.Action{Drop: true}},
		}, path...),
		"odd": append([]wire.Rule{
			{Name: "late", Match: wire.Match{Probability: 0.02}, Do: wire.Action{Hold: &wire.Hold{Frames: 4, Limit: wire.Duration(40 * time.Millisecond)}}},
			{Name: "double", Match: wire.Match{Data: true, Probability: 0.02}, Do: wire.Action{Duplicate: &wire.Duplicate{Copies: 1, Gap: wire.Duration(3 * time.Millisecond)}}},
			{Name: "flip", Match: wire.Match{Data: true, Probability: 0.01}, Do: wire.Action{Corrupt: &wire.Corrupt{Bits: 1, In: "payload"}}},
		}, path...),
		"twice": append([]wire.Rule{{Name: "twice", Match: wire.Match{Dir: wire.FromGuest, Bytes: wire.Range{From: 144800, To: 150000}, Transmissions: []int{1, 2}}, Do: wire.Action{Drop: true}}}, path...),
		"clean": nil,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			trace := transfer(t, 300<<10, 60<<10, rules...)
			a := judge.Analyze(trace.Events, judge.Netstack(), judge.Expect{})
			all := Pictures(trace, a)
			if len(all) != 2 || all[0].Name() != "stream1-from_guest.svg" || all[1].Name() != "stream1-to_guest.svg" {
				t.Fatalf("%d pictures", len(all))
			}
			dropped := 0
			for _, e := range trace.Events {
				if e.Stream == 1 && e.Dropped() && e.Held == 0 {
					dropped++
				}
			}
			if st := &a.Streams[0].Stats; all[0].Resent != st.Resent() || all[0].Dropped+all[1].Dropped != dropped {
				t.Errorf("%d sent again and %d dropped, want %d and %d", all[0].Resent, all[0].Dropped+all[1].Dropped, st.Resent(), dropped)
			}
			if lossy := name != "clean" && name != "odd"; lossy && dropped == 0 {
				t.Error("the wire lost nothing")
			}
			for _, p := range all {
				svg := draw(t, p, Options{})
				if counts := shape(t, svg); counts["re"] != p.Resent || counts["lost"] != p.Dropped {
					t.Errorf("%v, want %d sent again and %d dropped", counts, p.Resent, p.Dropped)
				}
				if *folder != "" {
					if err := os.WriteFile(filepath.Join(*folder, name+"-"+p.Name()), []byte(svg), 0o644); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
}
