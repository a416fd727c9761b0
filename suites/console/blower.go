package console

import (
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
	"github.com/headwatch/headwatch/suites/wire/peer"
)

// blower sends frames of which the kernel says something from where it takes them in,
// which is no process's context: FreeBSD of segments to closed ports, Linux of packets
// that cannot have come from where they say.
type blower struct {
	cable *wire.Cable
	nic   *wire.NIC
	dst   wire.MAC
	src   netip.Addr
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
	c, err := wire.New(wire.Config{Seed: b.seed, Trace: wire.TraceOptions{Snap: 1, Bytes: 1 << 20}})
	if err != nil {
		return err
	}
	w := &blower{cable: c, nic: c.NIC(0), dst: wire.MAC(mac), src: peer.Of(0, peer.StackHost).V4.Addr()}
	if g.OS() == "linux" {
		w.src = netip.AddrFrom4([4]byte{127, 0, 0, 1})
	}
	if err := w.nic.Plug(g.Wire(0)); err != nil {
		_, closed := c.Close()
		return errors.Join(err, closed)
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

// run sends frames at a rate until the context ends, and says how many.
func (w *blower) run(ctx context.Context, perSecond int) (sent int) {
	tick := time.NewTicker(batch)
	defer tick.Stop()
	began := time.Now()
	ours := peer.Of(0, peer.StackHost)
	p := wire.Packet{EtherDst: w.dst, EtherSrc: ours.MAC, EtherType: wire.EtherIPv4, Src: w.src, Dst: peer.Of(0, peer.GuestHost).V4.Addr(), Proto: wire.ProtoTCP, IsTCP: true}
	var frame []byte
	for {
		select {
		case <-ctx.Done():
			return sent
		case <-w.nic.Gone():
			return sent
		case <-tick.C:
		}
		// What a busy host has missed is not made up for: it would be no rate.
		due := min(int(time.Since(began).Seconds()*float64(perSecond))-sent, 2*perSecond*int(batch)/int(time.Second)+1)
		for range due {
			p.TCP = wire.Segment{SrcPort: uint16(1024 + sent%60000), DstPort: uint16(1 + sent/60000), Seq: wire.Seq(sent), Flags: wire.SYN, Window: 1024}
			frame = p.Append(frame[:0])
			w.nic.Send(frame)
			sent++
		}
	}
}

// during sends while f runs.
func (w *blower) during(ctx context.Context, perSecond int, f func() error) (sent int, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var sending sync.WaitGroup
	sending.Go(func() { sent = w.run(ctx, perSecond) })
	err = f()
	cancel()
	sending.Wait()
	return sent, err
}

func (w *blower) close() error { _, err := w.cable.Close(); return err }
