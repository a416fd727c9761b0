package tcp

import (
	"bytes"
	"compress/flate"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/headwatch/headwatch/suites"
	kguest "github.com/headwatch/headwatch/suites/kernel/guest"
	"github.com/headwatch/headwatch/suites/tcp/guest"
	"github.com/headwatch/headwatch/suites/wire"
	"github.com/headwatch/headwatch/suites/wire/peer"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// stackGuest is a guest whose kernel is another TCP stack at the end of a real socket:
// gVisor's, as in the tests of the judge. Its agent answers what the agent would. It
// answers for the cases' own logic; cmd/headwatch runs them on a kernel.
type stackGuest struct {
	wire  net.Conn
	stack *peer.Stack
	calls map[string]func(ctx context.Context, args, result any) error // instead of the agent's

	mu        sync.Mutex
	last      int
	listeners map[int]net.Listener
	conns     map[int]net.Conn
	settings  map[string]string
	retrans   int64
}

const fakeMAC = "02:77:00:00:00:02" // of peer.Of(0, GuestHost)

func newStackGuest(t *testing.T) *stackGuest {
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
	inside, err := wire.New(wire.Config{Trace: wire.TraceOptions{Bytes: 1}})
	if err != nil {
		t.Fatal(err)
	}
	nic := inside.NIC(0)
	stack, err := peer.NewStack(nic, peer.StackOptions{Address: peer.Of(0, peer.GuestHost), MinRTO: 3 * wire.Second})
	if err != nil {
		t.Fatal(err)
	}
	for _, host := range []int{peer.StackHost, peer.ScriptHost} {
		a := peer.Of(0, host)
		if err := errors.Join(stack.Know(a.V4.Addr(), a.MAC), stack.Know(a.V6.Addr(), a.MAC)); err != nil {
			t.Fatal(err)
		}
	}
	if err := nic.Plug(ends[0]); err != nil {
		t.Fatal(err)
	}
	host := ends[1]
	g := &stackGuest{wire: host, stack: stack, calls: map[string]func(context.Context, any, any) error{},
		listeners: map[int]net.Listener{}, conns: map[int]net.Conn{}, settings: map[string]string{}}
	t.Cleanup(func() {
		inside.Close()
		stack.Close()
		host.Close()
	})
	return g
}

func (g *stackGuest) OS() string                     { return "linux" }
func (g *stackGuest) CPUs() int                      { return 1 }
func (g *stackGuest) Crashes() []string              { return nil }
func (g *stackGuest) PowerOff(context.Context) error { return nil }
func (g *stackGuest) MACs() []string                 { return []string{fakeMAC} }
func (g *stackGuest) Starved() time.Duration         { return 0 }
func (g *stackGuest) Wire(int) net.Conn {
	if g.wire == nil {
		return nil
	}
	return g.wire
}

// Call answers as the agent does, through JSON.
func (g *stackGuest) Call(ctx context.Context, op string, args, result any) error {
	if call, ok := g.calls[op]; ok {
		return call(ctx, args, result)
	}
	return g.agent(ctx, op, args, result)
}

func (g *stackGuest) agent(ctx context.Context, op string, args, result any) error {
	answer, err := g.answer(ctx, op, args)
	if err != nil || result == nil {
		return err
	}
	raw, err := json.Marshal(answer)
	if err != nil {
		return err
	}
	return json.Unmarshal(raw, result)
}

func (g *stackGuest) answer(ctx context.Context, op string, args any) (any, error) {
	switch a := args.(type) {
	case guest.ListenArgs:
		at := netip.MustParseAddrPort(a.Addr)
		l, err := g.stack.Listen(a.Network, 4000)
		if err != nil {
			return nil, err
		}
		g.mu.Lock()
		defer g.mu.Unlock()
		g.last++
		g.listeners[g.last] = l
		return guest.Socket{ID: g.last, Local: netip.AddrPortFrom(at.Addr(), 4000).String()}, nil
	case guest.AcceptArgs:
		g.mu.Lock()
		l := g.listeners[a.ID]
		g.mu.Unlock()
		defer context.AfterFunc(ctx, func() { l.Close() })()
		return g.socket(l.Accept())
	case guest.ConnectArgs:
		return g.socket(g.stack.Dial(ctx, netip.MustParseAddrPort(a.Addr)))
	case guest.SendArgs:
		return g.send(ctx, a)
	case guest.ReceiveArgs:
		return g.receive(ctx, a)
	case guest.CloseArgs:
		g.mu.Lock()
		defer g.mu.Unlock()
		if l := g.listeners[a.ID]; l != nil {
			return guest.Closed{}, l.Close()
		}
		return guest.Closed{}, g.conns[a.ID].Close()
	}
	return g.kernel(op, args)
}

// kernel answers for the kernel's settings, interfaces and counters.
func (g *stackGuest) kernel(op string, args any) (any, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch op {
	case kguest.OpInterfaces:
		return []kguest.Interface{{Name: "lo"}, {Name: "net0", MAC: fakeMAC}}, nil
	case kguest.OpInterface, kguest.OpAddress, kguest.OpNeighbor:
		return struct{}{}, nil
	case kguest.OpSysctlSet:
		a := args.(kguest.SysctlSetArgs)
		g.settings[a.Name] = a.Text
		return struct{}{}, nil
	case kguest.OpSysctls:
		var list kguest.Sysctls
		for _, name := range args.(kguest.SysctlsArgs).Names {
			value := []byte(g.settings[name] + "\n")
			list.Nodes = append(list.Nodes, kguest.Sysctl{Name: name, Kind: "string", Value: value, Size: len(value)})
		}
		return list, nil
	case kguest.OpFile:
		g.retrans = int64(g.stack.Stats()["Retransmits"])
		text := fmt.Sprintf("Tcp: RetransSegs InCsumErrors\nTcp: %d 0\n", g.retrans)
		var b bytes.Buffer
		w, _ := flate.NewWriter(&b, 1)
		io.WriteString(w, text)
		w.Close()
		return kguest.Reading{Size: len(text), Data: b.Bytes()}, nil
	}
	return nil, fmt.Errorf("no operation %q", op)
}

func (g *stackGuest) socket(c net.Conn, err error) (guest.Socket, error) {
	if err != nil {
		return guest.Socket{}, err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.last++
	g.conns[g.last] = c
	return guest.Socket{ID: g.last, Local: c.LocalAddr().String(), Remote: c.RemoteAddr().String()}, nil
}

func (g *stackGuest) conn(id int) net.Conn {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.conns[id]
}

func (g *stackGuest) send(ctx context.Context, a guest.SendArgs) (m guest.Moved, err error) {
	c := g.conn(a.ID)
	defer context.AfterFunc(ctx, func() { c.SetWriteDeadline(time.Unix(1, 0)) })()
	b := make([]byte, a.Bytes)
	guest.Content(a.Seed, a.From, b)
	n, err := c.Write(b)
	if err == nil && a.Shut {
		err = c.(interface{ CloseWrite() error }).CloseWrite()
	}
	return guest.Moved{Bytes: int64(n)}, err
}

func (g *stackGuest) receive(ctx context.Context, a guest.ReceiveArgs) (m guest.Moved, err error) {
	c := g.conn(a.ID)
	defer context.AfterFunc(ctx, func() { c.SetReadDeadline(time.Unix(1, 0)) })()
	b, err := io.ReadAll(c)
	want := make([]byte, len(b))
	guest.Content(a.Seed, a.From, want)
	return guest.Moved{Bytes: int64(len(b)), Ended: err == nil, Wrong: !bytes.Equal(b, want)}, err
}

// runCase runs a case on a guest, within limit.
func runCase(t *testing.T, g suites.Guest, name string, limit time.Duration, with func(*suites.T)) (suites.Status, string, *suites.T) {
	t.Helper()
	cases := Suite().Cases
	i := slices.IndexFunc(cases, func(c suites.Case) bool { return c.Name == name })
	if i < 0 {
		t.Fatalf("no case %s", name)
	}
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	c := &suites.T{Guest: g, Rand: rand.New(rand.NewPCG(1, 2)), Metrics: map[string]float64{}}
	if with != nil {
		with(c)
	}
	c.Begin()
	status, reason := suites.Classify(cases[i].Run(ctx, c))
	return status, reason, c
}
