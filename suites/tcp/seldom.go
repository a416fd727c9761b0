package tcp

import (
	"context"
	"net"
	"time"

	"github.com/headwatch/headwatch/suites"
	"github.com/headwatch/headwatch/suites/kernel"
	kguest "github.com/headwatch/headwatch/suites/kernel/guest"
	"github.com/headwatch/headwatch/suites/tcp/guest"
	"github.com/headwatch/headwatch/suites/wire"
	"github.com/headwatch/headwatch/suites/wire/peer"
)

const (
	seldomRounds = 128
	tunnelPort   = 9899 // of UDP, RFC 6951's; the guest's
)

// seldom is L06: what few connections use is allocated elsewhere, and was forgotten
// there before. What a kernel has not is left out.
func seldom() row {
	return row{
		name: "l06", layer: suites.Stress, timeout: 10 * time.Minute,
		summary: "Fast Open, signed segments, TCP in UDP, neighbours that change under connections, the host cache: nothing stays in use",
		plan: func(Family, *suites.T) Plan {
			return Plan{Script: &peer.ScriptOptions{}, Lenient: true, Uncounted: resentCounts, Run: useSeldom,
				Settings: map[string][]Setting{
					"freebsd": {
						tfoSettings["freebsd"],
						{Name: "net.inet.tcp.msl", Value: "100", Why: "TIME_WAIT ends in 0.2 s"},
						{Name: "net.inet.tcp.hostcache.enable", Value: "1", Optional: true, Why: "it is what a part is about"},
						{Name: "net.inet.tcp.udp_tunneling_port", Value: "9899", Optional: true, Why: "tcp_subr.c; RFC 6951"},
					},
					"linux": {tfoSettings["linux"]},
				}}
		},
	}
}

// rarity is something that few connections use. there is nil when the kernel has it, and a
// skip when not.
type rarity struct {
	name   string
	there  func(context.Context, suites.Guest) error
	rounds func(*rare, context.Context, int) error
}

func rarities() []rarity {
	always := func(context.Context, suites.Guest) error { return nil }
	return []rarity{
		{"a neighbour changes", always, (*rare).neighbour},
		{"Fast Open, reset", canOpenFast, (*rare).fastReset},
		{"Fast Open, the listener is closed", canOpenFast, (*rare).fastClosed},
		{"host cache", has("net.inet.tcp.hostcache.purgenow"), (*rare).hostCache},
		{"TCP in UDP", has("net.inet.tcp.udp_tunneling_port"), (*rare).tunnel},
		{"signed", onLinux, (*rare).signed},
		{"a wrong signature", onLinux, (*rare).forged},
	}
}

// has asks whether the kernel has a sysctl.
func has(name string) func(context.Context, suites.Guest) error {
	return func(ctx context.Context, g suites.Guest) error {
		now, err := readSettings(ctx, g, []Setting{{Name: name}})
		if _, there := now[name]; err == nil && (!there || now[name] == "") {
			return suites.Skipf("this kernel has no %s", name)
		}
		return err
	}
}

// onLinux: FreeBSD keeps keys with those of IPsec (setkey(8)), which this agent has no
// operation for.
func onLinux(_ context.Context, g suites.Guest) error {
	if g.OS() != "linux" {
		return suites.Skipf("keys of %s are not a socket's", g.OS())
	}
	return nil
}

// rare makes the rounds.
type rare struct {
	*matrix
	fast   *fast
	cookie []byte
}

func useSeldom(ctx context.Context, b *Bed) error {
	r := &rare{matrix: &matrix{bed: b}}
	r.fast = &fast{matrix: r.matrix, content: Content{Size: tfoBytes}.Bytes()}
	if err := r.listen(ctx); err != nil {
		return err
	}
	var all []*repeated
	for _, x := range rarities() {
		switch err := x.there(ctx, b.T.Guest); status(err) {
		case suites.Skipped:
			continue
		case suites.Passed:
		default:
			return within(x.name, err)
		}
		all = append(all, &repeated{what: x.name, n: seldomRounds, steps: abortSteps,
			rounds: func(ctx context.Context, count int) error { return x.rounds(r, ctx, count) },
			quiet:  func(ctx context.Context, b *Bed) error { return gone(ctx, b, abortLimit) }})
	}
	for _, x := range all { // what grows once
		if err := x.make(ctx, 4); err != nil {
			return within(x.what, err)
		}
	}
	b.Measure("kinds", float64(len(all)))
	return screen(ctx, b, all)
}

func status(err error) suites.Status {
	s, _ := suites.Classify(err)
	return s
}

// neighbour has the entry of the peer's address removed and made again under a
// connection that has used it.
func (r *rare) neighbour(ctx context.Context, count int) error {
	for range count {
		list, err := r.open(ctx, 1, peer.ConnOptions{})
		if err != nil {
			return err
		}
		v := list[0]
		if err := v.speaks(ctx); err != nil {
			return err
		}
		a := r.bed.Script.Address()
		args := kguest.NeighborArgs{Interface: r.bed.iface.Name, Address: r.bed.Family.Of(a).String(), Remove: true}
		if err := r.bed.T.Guest.Call(ctx, kguest.OpNeighbor, args, nil); err != nil {
			return within("the neighbour goes", err)
		}
		args.Remove, args.MAC = false, net.HardwareAddr(a.MAC[:]).String()
		if err := r.bed.T.Guest.Call(ctx, kguest.OpNeighbor, args, nil); err != nil {
			return within("the neighbour comes", err)
		}
		if err := v.speaks(ctx); err != nil {
			return within("after the neighbour has changed", err)
		}
		if err := v.cut(ctx); err != nil {
			return err
		}
	}
	return nil
}

// fastListen opens a listener for Fast Open, and gets a cookie once.
func (r *rare) fastListen(ctx context.Context) (err error) {
	if err := r.fast.listenFast(ctx); err != nil {
		return err
	}
	if r.cookie == nil {
		r.cookie, err = r.fast.ask(ctx)
	}
	return err
}

// onOther does something with another listener than the matrix's.
func (r *rare) onOther(do func() error) error {
	listener, at := r.listener, r.at
	defer func() { r.listener, r.at = listener, at }()
	return do()
}

func (r *rare) unlisten(ctx context.Context) error {
	return within("close of the listening socket", r.bed.T.Guest.Call(ctx, guest.OpClose, guest.CloseArgs{ID: r.listener.ID}, nil))
}

// fastReset has data in SYNs taken, and the connections reset before a program has them.
func (r *rare) fastReset(ctx context.Context, count int) error {
	return r.onOther(func() error {
		if err := r.fastListen(ctx); err != nil {
			return err
		}
		for range count {
			p, err := r.fast.syn(ctx, r.cookie, r.fast.content)
			if err != nil {
				return err
			}
			t := wire.Segment{SrcPort: p.TCP.DstPort, DstPort: p.TCP.SrcPort, Seq: p.TCP.Ack, Flags: wire.RST}
			if err := r.bed.Script.Send(ctx, wire.Packet{Dst: p.Src, IsTCP: true, TCP: t}); err != nil {
				return err
			}
			var s guest.Socket
			if err := r.bed.T.Guest.Call(ctx, guest.OpAccept, guest.AcceptArgs{ID: r.listener.ID, TimeoutS: stall.Seconds()}, &s); err != nil {
				return within("accept", err)
			}
			if s.ID == 0 { // ECONNABORTED: it was gone
				continue
			}
			if err := r.bed.T.Guest.Call(ctx, guest.OpClose, guest.CloseArgs{ID: s.ID, Abort: true}, nil); err != nil {
				return within("close", err)
			}
		}
		return r.unlisten(ctx)
	})
}

// fastClosed has the listener closed under connections that were opened so.
func (r *rare) fastClosed(ctx context.Context, count int) error {
	return r.onOther(func() error {
		for range count {
			if err := r.fastListen(ctx); err != nil {
				return err
			}
			p, err := r.fast.syn(ctx, r.cookie, r.fast.content)
			if err != nil {
				return err
			}
			if err := r.unlisten(ctx); err != nil {
				return err
			}
			t := wire.Segment{SrcPort: p.TCP.DstPort, DstPort: p.TCP.SrcPort, Seq: p.TCP.Ack, Flags: wire.RST}
			if err := r.bed.Script.Send(ctx, wire.Packet{Dst: p.Src, IsTCP: true, TCP: t}); err != nil {
				return err
			}
		}
		return nil
	})
}

// hostCache has connections live long enough to be remembered (four samples of the
// round-trip time: tcp_subr.c, tcp_discardcb), and the memory purged.
func (r *rare) hostCache(ctx context.Context, count int) error {
	for range count {
		list, err := r.open(ctx, 1, peer.ConnOptions{})
		if err != nil {
			return err
		}
		for range 6 {
			if err := list[0].speaks(ctx); err != nil {
				return err
			}
		}
		if err := list[0].cut(ctx); err != nil {
			return err
		}
		if err := kernel.SetSysctl(ctx, r.bed.T.Guest, "net.inet.tcp.hostcache.purgenow", "1"); err != nil {
			return within("purging the host cache", err)
		}
	}
	return nil
}
