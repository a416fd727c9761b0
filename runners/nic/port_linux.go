package nic

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Port is a host's interface as the end of a cable. It lies in a network namespace
// of its own, where the host's stack says nothing on it, and returns when it is
// closed; when this process is killed, a real one returns to the host's first
// namespace. It implements Frames.
type Port struct {
	*packets
	home, away *namespace
	wasUp      bool
	wasMTU     int
	moved      bool
	turnBack   func() error
	once       sync.Once
	err        error
}

// offload is a setting of ethtool(8) with the bits of it that make of frames
// something else than what was on the cable.
type offload struct{ get, set, bits uint32 }

var offloads = []offload{
	{unix.ETHTOOL_GGRO, unix.ETHTOOL_SGRO, 1},
	{unix.ETHTOOL_GFLAGS, unix.ETHTOOL_SFLAGS, 1<<15 | 1<<8}, // ETH_FLAG_LRO, ETH_FLAG_RXVLAN
}

// plainFrames turns such offloads off, and returns what turns them back on. What
// an interface does not have is off.
func plainFrames(name string) (back func() error) {
	type setting struct{ set, value uint32 }
	var was []setting
	for _, o := range offloads {
		if v, err := ethtool(name, o.get, 0); err == nil && v&o.bits != 0 {
			if _, err := ethtool(name, o.set, v&^o.bits); err == nil {
				was = append(was, setting{o.set, v})
			}
		}
	}
	return func() error {
		var errs []error
		for _, s := range was {
			_, err := ethtool(name, s.set, s.value)
			errs = append(errs, err)
		}
		return errors.Join(errs...)
	}
}

// OpenPort takes an interface of the host that the host does not use. mtu is in
// bytes; 0: 1500.
func (s System) OpenPort(name string, mtu int) (_ *Port, err error) {
	if mtu == 0 {
		mtu = defaultMTU
	}
	if err := s.checkPort(name); err != nil {
		return nil, fmt.Errorf("port %s: %w", name, err)
	}
	p := &Port{turnBack: func() error { return nil }, packets: &packets{name: name}}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("port %s: %w", name, err), p.Close())
		}
	}()
	if p.wasMTU, err = interfaceMTU(name); err != nil {
		return nil, err
	}
	flags, err := interfaceFlags(name)
	if err != nil {
		return nil, err
	}
	p.wasUp = flags&unix.IFF_UP != 0
	if p.home, err = currentNamespace(); err != nil {
		return nil, err
	}
	if p.away, err = newNamespace(); err != nil {
		return nil, err
	}
	if err := moveInterface(name, p.away.file); err != nil {
		return nil, err
	}
	p.moved = true
	err = p.away.do(func() error {
		p.turnBack = plainFrames(name)
		opened, err := openLink(name, mtu)
		if err == nil {
			p.packets = opened
		}
		return err
	})
	return p, err
}

// openLink sets an interface of the caller's namespace up and opens it.
func openLink(name string, mtu int) (*packets, error) {
	if err := setMTU(name, mtu); err != nil {
		return nil, err
	}
	if err := setUp(name, true); err != nil {
		return nil, err
	}
	return openPackets(name, mtu)
}

// checkPort says why an interface cannot be a port.
func (s System) checkPort(name string) error {
	if _, err := interfaceIndex(name); err != nil {
		return errors.New("no such interface on this host")
	}
	kind, err := readWord(s.sys("class", "net", name, "type"))
	if err != nil {
		return err
	}
	if kind != fmt.Sprint(unix.ARPHRD_ETHER) {
		return errors.New("not an Ethernet interface")
	}
	routes, err := s.routes()
	if err != nil {
		return err
	}
	i := readInterface(s.sys("class", "net", name), routes)
	if i.Routes || i.Master != "" {
		how := inUse(Device{Interfaces: []Interface{i}})
		return errors.New(how[0])
	}
	return nil
}

// Carrier says whether the other end of the cable is there.
func (p *Port) Carrier() (up bool, err error) {
	err = p.away.do(func() error {
		// The interface's flags lag behind the cable.
		link, err := ethtool(p.name, unix.ETHTOOL_GLINK, 0)
		up = link != 0
		return err
	})
	return up, err
}

// carrierPoll is how often AwaitCarrier looks.
const carrierPoll = 50 * time.Millisecond

// AwaitCarrier waits until the other end of the cable is there. A real link takes
// seconds to come up.
func (p *Port) AwaitCarrier(ctx context.Context) error {
	tick := time.NewTicker(carrierPoll)
	defer tick.Stop()
	for {
		up, err := p.Carrier()
		if up || err != nil {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("port %s has no carrier: %w; is the cable plugged in, and the NIC at its other end up?", p.name, context.Cause(ctx))
		}
	}
}

// Dropped counts the frames that the interface did not take.
func (p *Port) Dropped() int64 { return p.dropped.Load() }

// Close gives the interface back as it was. It may be called often.
func (p *Port) Close() error {
	p.once.Do(func() { p.err = p.giveBack() })
	return p.err
}

func (p *Port) giveBack() error {
	var errs []error
	if p.file != nil {
		errs = append(errs, p.packets.Close())
	}
	if p.moved {
		errs = append(errs, p.away.do(func() error {
			return errors.Join(setUp(p.name, false), p.turnBack(), setMTU(p.name, p.wasMTU), moveInterface(p.name, p.home.file))
		}))
		if p.wasUp {
			errs = append(errs, p.home.do(func() error { return setUp(p.name, true) }))
		}
	}
	for _, n := range []*namespace{p.home, p.away} {
		if n != nil {
			errs = append(errs, n.Close())
		}
	}
	return errors.Join(errs...)
}
