package console

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/headwatch/headwatch/suites"
	"github.com/headwatch/headwatch/suites/kernel"
	kguest "github.com/headwatch/headwatch/suites/kernel/guest"
	"github.com/headwatch/headwatch/suites/wire"
	"github.com/headwatch/headwatch/suites/wire/peer"
)

// blower sends frames of which the kernel says something from where it takes them in,
// which is no process's context: FreeBSD of segments to closed ports, Linux of packets
// that cannot have come from where they say. It has the wire to itself, and sends no more
// than the guest takes: what waited on a cable would go on when the storm is over.
type blower struct {
	conn net.Conn
	dst  wire.MAC
	src  netip.Addr
	sent int    // frames
	rest []byte // of a frame of which the guest has taken a part
}

// blowing are the settings for that. Linux: net/core/utils.c, net/ipv4/route.c.
var blowing = map[string][]setting{
	"linux":   {{"net.core.message_cost", "0"}, {"net.ipv4.conf.all.log_martians", "1"}},
	"freebsd": {{"net.inet.tcp.log_in_vain", "1"}},
}

// wired makes the bed's blower. The wire is of no use to others afterwards.
func (b *bed) wired(ctx context.Context) error {
	g := b.t.Guest
	for _, s := range blowing[g.OS()] {
		if err := kernel.SetSysctl(ctx, g, s.name, s.value); err != nil {
			return fmt.Errorf("setting %s=%s: %w", s.name, s.value, err)
		}
	}
	if len(g.MACs()) == 0 {
		return errors.New("the machine has no NIC")
	}
	mac, err := net.ParseMAC(g.MACs()[0])
	if err != nil || len(mac) != 6 {
		return fmt.Errorf("hardware address %q of NIC 0", g.MACs()[0])
	}
	if err := address(ctx, g); err != nil {
		return err
	}
	w := &blower{conn: g.Wire(0), dst: wire.MAC(mac), src: peer.Of(0, peer.StackHost).V4.Addr()}
	if w.conn == nil {
		return errors.New("the cable of NIC 0 is not in our hands")
	}
	if g.OS() == "linux" {
		w.src = netip.AddrFrom4([4]byte{127, 0, 0, 1})
	}
	b.blower = w
	return nil
}

// address gives the guest's NIC 0 its address, and tells it who its peer is.
func address(ctx context.Context, g suites.Guest) error {
	var list []kguest.Interface
	if err := g.Call(ctx, kguest.OpInterfaces, struct{}{}, &list); err != nil {
		return err
	}
	name := ""
	for _, i := range list {
		if strings.EqualFold(i.MAC, g.MACs()[0]) {
			name = i.Name
		}
	}
	if name == "" {
		return suites.Failf("the guest has no interface with the address %s: its driver did not find the NIC", g.MACs()[0])
	}
	up := true
	if err := g.Call(ctx, kguest.OpInterface, kguest.InterfaceArgs{Name: name, Up: &up}, nil); err != nil {
		return err
	}
	ours, its := peer.Of(0, peer.StackHost), peer.Of(0, peer.GuestHost)
	if err := g.Call(ctx, kguest.OpAddress, kguest.AddressArgs{Interface: name, Address: its.V4.String()}, nil); err != nil {
		return err
	}
	args := kguest.NeighborArgs{Interface: name, Address: ours.V4.Addr().String(), MAC: net.HardwareAddr(ours.MAC[:]).String()}
	return g.Call(ctx, kguest.OpNeighbor, args, nil)
}

// batch is how often frames are sent.
const batch = 10 * time.Millisecond

// run sends frames at a rate until the context ends. What a busy host or guest has missed
// is not made up for: it would be no rate.
func (w *blower) run(ctx context.Context, perSecond int) error {
	tick := time.NewTicker(batch)
	defer tick.Stop()
	p := wire.Packet{
		EtherDst: w.dst, EtherSrc: peer.Of(0, peer.StackHost).MAC, EtherType: wire.EtherIPv4, Proto: wire.ProtoTCP, IsTCP: true,
		Src: w.src, Dst: peer.Of(0, peer.GuestHost).V4.Addr(),
	}
	var frame []byte
	for each := max(1, perSecond*int(batch)/int(time.Second)); ; {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		for n := 0; n < each && len(w.rest) == 0; n++ {
			p.TCP = wire.Segment{SrcPort: uint16(1024 + w.sent%60000), DstPort: uint16(1 + w.sent/60000), Seq: wire.Seq(w.sent), Flags: wire.SYN, Window: 1024}
			frame = p.Append(frame[:0])
			w.rest = wire.AppendFrame(w.rest[:0], frame)
			w.sent++
			if err := w.push(); err != nil {
				return err
			}
		}
		if err := w.push(); err != nil {
			return err
		}
	}
}

// push gives the guest as much of the rest as it takes.
func (w *blower) push() error {
	if len(w.rest) == 0 {
		return nil
	}
	w.conn.SetWriteDeadline(time.Now().Add(batch))
	n, err := w.conn.Write(w.rest)
	w.rest = w.rest[n:]
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return nil
	}
	return err
}

// during sends while f runs, and takes what the guest answers.
func (w *blower) during(ctx context.Context, perSecond int, f func() error) (sent int, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	before := w.sent
	var both sync.WaitGroup
	var failed error
	w.conn.SetReadDeadline(time.Time{})
	both.Go(func() { io.Copy(io.Discard, struct{ io.Reader }{w.conn}) }) // ends by the deadline
	both.Go(func() { failed = w.run(ctx, perSecond) })
	err = f()
	cancel()
	w.conn.SetReadDeadline(time.Unix(1, 0))
	both.Wait()
	return w.sent - before, errors.Join(err, failed)
}
