package tcp

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/headwatch/headwatch/suites"
	"github.com/headwatch/headwatch/suites/kernel"
	kguest "github.com/headwatch/headwatch/suites/kernel/guest"
	"github.com/headwatch/headwatch/suites/wire"
	"github.com/headwatch/headwatch/suites/wire/judge"
	"github.com/headwatch/headwatch/suites/wire/peer"
)

// Family is the version of IP under a case. The zero value is invalid.
type Family int

// The families.
const (
	V4 Family = iota + 1
	V6
)

func (f Family) String() string {
	if f == V6 {
		return "v6"
	}
	return "v4"
}

// Network is the family's word for package net.
func (f Family) Network() string {
	if f == V6 {
		return "tcp6"
	}
	return "tcp4"
}

// Of gives a host's address of the family.
func (f Family) Of(a peer.Address) netip.Addr {
	if f == V6 {
		return a.V6.Addr()
	}
	return a.V4.Addr()
}

// Plan is what a case wants of its bed, does on it and wants to see. The zero value is
// a bare cable.
type Plan struct {
	Rules    []wire.Rule
	Stack    *peer.StackOptions // a real TCP behind the cable; nil: none
	Script   *peer.ScriptOptions
	Settings map[string][]Setting // by OS; they override those of every bed
	// Profile changes what the judge expects of the guest's stack, Expect what it
	// knows of the traffic. Nil: nothing.
	Profile func(*judge.Profile)
	Expect  func(*judge.Expect)
	// Lenient leaves out what of the judge's findings a host without CPU to spare can
	// cause, for cases that are about something else and should say it on any host.
	Lenient bool
	// Uncounted are counters that are not compared with the wire.
	Uncounted []judge.Counter
	// Tries is how often the case is done at most, on the same bed, while what went wrong
	// may be a moment's of the host: a kernel does it each time. 0: once.
	Tries int
	// Rounds is how often Run and Look are done on one bed, each time with tries of its
	// own: a long case is not done again as a whole for one bad moment. 0: once.
	Rounds int
	// Patience is how long a kernel may move no byte before that is a finding. 0: 10 s.
	Patience time.Duration
	// Run makes the traffic. It has ended when the last byte has.
	Run func(ctx context.Context, b *Bed) error
	// Look judges the evidence of what Run did, once the bed has found nothing wrong with
	// it. Nil: that is all.
	Look func(b *Bed, e *Evidence) error
}

// Bed is a NIC of the guest under a case: a cable with peers behind it, addresses and
// neighbours on both sides, pinned settings. It has one owner, who ends it with close.
type Bed struct {
	T       *suites.T
	Family  Family
	Name    string // of the NIC, for people: "NIC 0 (vtnet0)"
	Cable   *wire.Cable
	NIC     *wire.NIC
	Stack   *peer.Stack  // nil: the plan has none
	Script  *peer.Script // the same
	Profile judge.Profile

	plan   Plan
	iface  kguest.Interface
	before kernel.Counters
	ctx    context.Context // ends with the wire, and says so
	cancel context.CancelCauseFunc
	watch  sync.WaitGroup
	prefix string // of metrics
	hunger hunger

	mu    sync.Mutex
	port  uint16
	conns []*Conn // of all tries
	first int     // of conns in this one
	round int     // of the plan's rounds, from 0
}

// Guest is who the guest is on this cable.
func (b *Bed) Guest() peer.Address { return peer.Of(b.NIC.Number(), peer.GuestHost) }

// Measure notes a number that the case measured; name ends in its unit.
func (b *Bed) Measure(name string, value float64) { b.T.Metrics[b.prefix+name] = value }

// Conns are the connections of this try, in the order in which they were opened.
func (b *Bed) Conns() []*Conn {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.conns[b.first:]
}

// patience is the plan's.
func (b *Bed) patience() time.Duration { return cmp.Or(b.plan.Patience, stall) }

// Round is which of the plan's rounds this is, from 0.
func (b *Bed) Round() int { return b.round }

// Streams is how many connections were opened before this try: what rules have to add
// to their numbers of streams.
func (b *Bed) Streams() int { return b.first }

// lay makes a bed on NIC n. The error of a kernel that refuses is its failure.
func lay(ctx context.Context, t *suites.T, n int, f Family, plan Plan) (b *Bed, err error) {
	b = &Bed{T: t, Family: f, Name: fmt.Sprintf("NIC %d", n), plan: plan, port: 5000}
	if n > 0 {
		b.prefix = fmt.Sprintf("nic%d_", n)
	}
	b.ctx, b.cancel = context.WithCancelCause(ctx)
	b.Cable, err = wire.New(wire.Config{Seed: t.Rand.Uint64(), Rules: plan.Rules})
	if err != nil {
		return nil, err
	}
	b.NIC = b.Cable.NIC(n)
	defer func() {
		if err != nil {
			_, closed := b.close()
			b, err = nil, within(fmt.Sprintf("NIC %d", n), errors.Join(err, closed))
		}
	}()
	if err := b.join(); err != nil {
		return b, err
	}
	if err := b.NIC.Plug(t.Guest.Wire(n)); err != nil {
		return b, err
	}
	b.watch.Go(b.guard)
	b.watch.Go(b.taste)
	if err := b.network(b.ctx, n); err != nil {
		return b, b.because(err)
	}
	if err := pin(b.ctx, t.Guest, override(pinned(t.Guest.OS()), plan.Settings[t.Guest.OS()])); err != nil {
		return b, b.because(err)
	}
	if b.Profile, err = profile(b.ctx, t.Guest); err != nil {
		return b, b.because(err)
	}
	if plan.Profile != nil {
		plan.Profile(&b.Profile)
	}
	b.before, err = counted(b.ctx, t.Guest)
	return b, b.because(err)
}

// guard ends the bed's context when the guest's end of the wire is gone.
func (b *Bed) guard() {
	select {
	case <-b.NIC.Gone():
		b.cancel(errors.New("the guest's end of the wire is gone"))
	case <-b.ctx.Done():
	}
}

// because says why the bed's context ended, when that is what err is about.
func (b *Bed) because(err error) error {
	if err != nil && errors.Is(err, context.Canceled) && b.ctx.Err() != nil {
		if cause := context.Cause(b.ctx); !errors.Is(err, cause) {
			return fmt.Errorf("%w: %w", cause, err)
		}
	}
	return err
}

// join puts the peers behind the cable.
func (b *Bed) join() (err error) {
	guest, mac := b.Guest(), wire.MAC{}
	if mac, err = parseMAC(b.T.Guest.MACs(), b.NIC.Number()); err != nil {
		return err
	}
	if o := b.plan.Script; o != nil {
		if b.Script, err = peer.NewScript(b.NIC, *o); err != nil {
			return err
		}
		b.Script.Know(guest.V4.Addr(), mac)
		b.Script.Know(guest.V6.Addr(), mac)
	}
	if o := b.plan.Stack; o != nil {
		with := *o
		if with.Seed == 0 {
			with.Seed = b.T.Rand.Int64()
		}
		if b.Stack, err = peer.NewStack(b.NIC, with); err != nil {
			return err
		}
		return errors.Join(b.Stack.Know(guest.V4.Addr(), mac), b.Stack.Know(guest.V6.Addr(), mac))
	}
	return nil
}

// network gives the guest's interface addresses, and tells it who its peers are.
func (b *Bed) network(ctx context.Context, n int) error {
	g, mac := b.T.Guest, b.T.Guest.MACs()[n]
	var list []kguest.Interface
	if err := g.Call(ctx, kguest.OpInterfaces, struct{}{}, &list); err != nil {
		return err
	}
	for _, i := range list {
		if strings.EqualFold(i.MAC, mac) {
			b.iface = i
		}
	}
	if b.iface.Name == "" {
		return suites.Failf("the guest has no interface with the address %s: its driver did not find the NIC", mac)
	}
	b.Name = fmt.Sprintf("NIC %d (%s)", n, b.iface.Name)
	up := true
	if err := g.Call(ctx, kguest.OpInterface, kguest.InterfaceArgs{Name: b.iface.Name, Up: &up}, nil); err != nil {
		return err
	}
	if err := pin(ctx, g, addressing[g.OS()]); err != nil {
		return err
	}
	for _, a := range []netip.Prefix{b.Guest().V4, b.Guest().V6} {
		if err := g.Call(ctx, kguest.OpAddress, kguest.AddressArgs{Interface: b.iface.Name, Address: a.String()}, nil); err != nil {
			return fmt.Errorf("address %v: %w", a, err)
		}
	}
	var peers []peer.Address
	if b.Stack != nil {
		peers = append(peers, b.Stack.Address())
	}
	if b.Script != nil {
		peers = append(peers, b.Script.Address())
	}
	for _, p := range peers {
		args := kguest.NeighborArgs{Interface: b.iface.Name, Address: b.Family.Of(p).String(), MAC: net.HardwareAddr(p.MAC[:]).String()}
		if err := g.Call(ctx, kguest.OpNeighbor, args, nil); err != nil {
			return fmt.Errorf("neighbour %s: %w", args.Address, err)
		}
	}
	return nil
}

// reaction is what a guest that is emulated on a host with others may take to know what
// came, and to answer where that can be seen: the 99th percentile of an agent's answers
// beside two busy loops (docs/machines.md).
const reaction = 40 * time.Millisecond

// profile is what the judge expects of the guest's stack.
func profile(ctx context.Context, g suites.Guest) (judge.Profile, error) {
	switch g.OS() {
	case "freebsd":
		hz, err := clockRate(ctx, g)
		p := judge.FreeBSD(hz)
		p.Reaction = reaction
		return p, err
	case "linux":
		p := judge.Linux()
		p.Reaction = reaction
		return p, nil
	}
	return judge.Profile{}, fmt.Errorf("the TCP of OS %q is not known", g.OS())
}

// close takes the bed away, whatever its state. The cable goes first, so that the
// peers' resets do not reach the guest.
func (b *Bed) close() (*wire.Trace, error) {
	trace, err := b.Cable.Close()
	if b.Script != nil {
		err = errors.Join(err, b.Script.Close())
	}
	if b.Stack != nil {
		err = errors.Join(err, b.Stack.Close())
	}
	b.cancel(nil)
	b.watch.Wait()
	return trace, err
}

// Until is how long the case still has, at most limit.
func (b *Bed) Until(limit time.Duration) time.Duration {
	if deadline, ok := b.ctx.Deadline(); ok {
		return min(limit, time.Until(deadline))
	}
	return limit
}

func parseMAC(macs []string, n int) (mac wire.MAC, err error) {
	if n >= len(macs) {
		return mac, fmt.Errorf("the machine has %d NICs", len(macs))
	}
	a, err := net.ParseMAC(macs[n])
	if err != nil || len(a) != len(mac) {
		return mac, fmt.Errorf("hardware address %q of NIC %d", macs[n], n)
	}
	return wire.MAC(a), nil
}
