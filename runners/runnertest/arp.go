package runnertest

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/headwatch/headwatch/runners"
	"github.com/headwatch/headwatch/runners/nic"
)

// What headwatch's agent answers, as far as this suite asks (package
// suites/kernel/guest).
type guestInterface struct {
	Name  string `json:"name"`
	MAC   string `json:"mac"`
	Flags string `json:"flags"`
}

const (
	opInterfaces = "kernel/interfaces"
	opInterface  = "kernel/interface"
	opAddress    = "kernel/address"
)

// Addresses of QEMU's user network (qemu(1), -netdev user).
const (
	userGuest = "10.0.2.15"
	userHost  = "10.0.2.2"
)

// checkNICs checks each NIC. It gives the frames of those that have a wire.
func checkNICs(t *testing.T, m runners.Machine, nics []runners.NIC, own OfSuite) []nic.Frames {
	t.Helper()
	lines := make([]nic.Frames, len(nics))
	for i, n := range nics {
		mac := m.Facts().MACs[i]
		var err error
		switch wire := m.Wire(i); {
		case wire != nil:
			lines[i] = nic.Stream(wire)
			err = answers(t.Context(), m, i, mac, wire, lines[i])
		case n.Link == nic.User && bool(own):
			err = resolves(t.Context(), m, mac)
		default:
			err = runs(t.Context(), m, mac)
		}
		if err != nil {
			t.Errorf("nic %d, %s on %s: %v", i, n.Model, n.Link, err)
		}
	}
	return lines
}

// answers has the guest's kernel answer who has an address: a frame of ours came to
// it, and one of its to us.
func answers(ctx context.Context, m runners.Machine, i int, mac string, wire net.Conn, line nic.Frames) error {
	theirs := fmt.Sprintf("10.77.%d.1", i)
	if err := assign(ctx, m, mac, theirs); err != nil {
		return err
	}
	station, err := net.ParseMAC(mac)
	if err != nil {
		return err
	}
	wire.SetReadDeadline(time.Now().Add(quick))
	defer wire.SetReadDeadline(time.Time{})
	asking, cancel := context.WithCancel(ctx)
	asked := make(chan error, 1)
	question := whoHas(netip.AddrFrom4([4]byte{10, 77, byte(i), 254}), netip.MustParseAddr(theirs))
	go func() { asked <- repeat(asking, line, question) }()
	heard := hearStation(line, netip.MustParseAddr(theirs), station)
	cancel()
	if err := <-asked; err != nil {
		return err
	}
	if heard != nil {
		x, err := named(ctx, m, mac)
		return fmt.Errorf("%w; the guest has %+v, %v", heard, x, err)
	}
	return nil
}

// repeat sends a frame until ctx is done: a link that has just come up loses some.
func repeat(ctx context.Context, line nic.Frames, frame []byte) error {
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		if err := line.WriteFrame(frame); err != nil {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// station is ours: a locally administered one.
var station = net.HardwareAddr{0x02, 0, 0, 0, 0, 0xfe}

// whoHas is an ARP request (RFC 826) from our station to all.
func whoHas(ours, theirs netip.Addr) []byte {
	f := append(bytes.Repeat([]byte{0xff}, 6), station...)
	f = append(f, 0x08, 0x06, 0, 1, 0x08, 0, 6, 4, 0, 1)
	f = append(append(f, station...), ours.AsSlice()...)
	f = append(append(f, make([]byte, 6)...), theirs.AsSlice()...)
	return append(f, make([]byte, 60-len(f))...)
}

// hearStation reads frames until one answers our station that an address is at mac.
func hearStation(line nic.Frames, address netip.Addr, mac net.HardwareAddr) error {
	buf := make([]byte, nic.MaxFrame)
	for {
		n, err := line.ReadFrame(buf)
		if err != nil {
			return fmt.Errorf("who has %s: no answer from %s: %w", address, mac, err)
		}
		f := buf[:n]
		if n < 42 || !bytes.Equal(f[:6], station) || binary.BigEndian.Uint16(f[12:]) != 0x0806 || binary.BigEndian.Uint16(f[20:]) != 2 {
			continue // the kernel's own
		}
		if !bytes.Equal(f[6:12], mac) || !bytes.Equal(f[22:28], mac) || !bytes.Equal(f[28:32], address.AsSlice()) {
			return fmt.Errorf("who has %s: answered by %x: %x", address, f[6:12], f[22:32])
		}
		return nil
	}
}

// named is the guest's interface with an address.
func named(ctx context.Context, m runners.Machine, mac string) (guestInterface, error) {
	var all []guestInterface
	if err := m.Call(ctx, opInterfaces, struct{}{}, &all); err != nil {
		return guestInterface{}, err
	}
	i := slices.IndexFunc(all, func(x guestInterface) bool { return x.MAC == mac })
	if i < 0 {
		return guestInterface{}, fmt.Errorf("the guest has no interface %s: %+v", mac, all)
	}
	return all[i], nil
}

// assign brings an interface up and gives it an address of a network of 24 bits.
func assign(ctx context.Context, m runners.Machine, mac, address string) error {
	x, err := named(ctx, m, mac)
	if err != nil {
		return err
	}
	if err := m.Call(ctx, opInterface, map[string]any{"name": x.Name, "up": true}, nil); err != nil {
		return err
	}
	return m.Call(ctx, opAddress, map[string]any{"interface": x.Name, "address": address + "/24"}, nil)
}

// resolves has the guest find QEMU's station on its user network.
func resolves(ctx context.Context, m runners.Machine, mac string) error {
	if err := assign(ctx, m, mac, userGuest); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, quick)
	defer cancel()
	var host string
	if err := m.Call(ctx, Resolve, userHost, &host); err != nil {
		return fmt.Errorf("who has %s: %w", userHost, err)
	}
	if _, err := net.ParseMAC(host); err != nil || host == mac {
		return fmt.Errorf("who has %s: answered by %q", userHost, host)
	}
	return nil
}

// runs waits until the guest says that an interface has its link.
func runs(ctx context.Context, m runners.Machine, mac string) error {
	if err := assign(ctx, m, mac, userGuest); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, quick)
	defer cancel()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		x, err := named(ctx, m, mac)
		if err != nil || strings.Contains(x.Flags, "running") {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("%s has no link: %s", x.Name, x.Flags)
		}
	}
}
