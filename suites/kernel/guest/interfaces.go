//go:build linux || freebsd

package guest

import (
	"context"
	"fmt"
	"net"
	"net/netip"
)

// interfaces lists what there is. An interface that goes away meanwhile is left
// out.
func interfaces(context.Context, struct{}) ([]Interface, error) {
	all, err := net.Interfaces()
	if err != nil {
		return nil, err
	}
	list := []Interface{}
	for _, i := range all {
		addrs, err := i.Addrs()
		if err != nil {
			continue
		}
		x := Interface{Name: i.Name, Index: i.Index, MTU: i.MTU, MAC: i.HardwareAddr.String(), Flags: i.Flags.String(), Addresses: []string{}}
		for _, a := range addrs {
			x.Addresses = append(x.Addresses, a.String())
		}
		list = append(list, x)
	}
	return list, nil
}

func setInterface(_ context.Context, args InterfaceArgs) (done, error) {
	i, err := interfaceNamed(args.Name)
	if err != nil {
		return done{}, err
	}
	if args.MAC != "" {
		mac, err := parseMAC(args.MAC)
		if err != nil {
			return done{}, err
		}
		if err := setMAC(i, mac); err != nil {
			return done{}, fmt.Errorf("%s: set MAC: %w", i.Name, err)
		}
	}
	if args.MTU != 0 {
		if err := setMTU(i, args.MTU); err != nil {
			return done{}, fmt.Errorf("%s: set MTU %d: %w", i.Name, args.MTU, err)
		}
	}
	if args.Up != nil {
		if err := setUp(i, *args.Up); err != nil {
			return done{}, fmt.Errorf("%s: set up to %v: %w", i.Name, *args.Up, err)
		}
	}
	return done{}, nil
}

func setAddress(_ context.Context, args AddressArgs) (done, error) {
	i, err := interfaceNamed(args.Interface)
	if err != nil {
		return done{}, err
	}
	prefix, err := netip.ParsePrefix(args.Address)
	if err != nil {
		return done{}, err
	}
	if err := changeAddress(i, prefix, args.Remove); err != nil {
		return done{}, fmt.Errorf("%s: %s %s: %w", i.Name, verb(args.Remove), prefix, err)
	}
	return done{}, nil
}

// route is a route with its names resolved. The gateway, or the interface, may be
// missing.
type route struct {
	destination netip.Prefix
	gateway     netip.Addr
	link        *net.Interface
}

func setRoute(_ context.Context, args RouteArgs) (done, error) {
	r, err := parseRoute(args)
	if err != nil {
		return done{}, err
	}
	if err := changeRoute(r, args.Remove); err != nil {
		return done{}, fmt.Errorf("%s route to %s: %w", verb(args.Remove), r.destination, err)
	}
	return done{}, nil
}

func parseRoute(args RouteArgs) (r route, err error) {
	if r.destination, err = netip.ParsePrefix(args.Destination); err != nil {
		return r, err
	}
	r.destination = r.destination.Masked()
	if args.Gateway != "" {
		if r.gateway, err = netip.ParseAddr(args.Gateway); err != nil {
			return r, err
		}
		if r.gateway.Is4() != r.destination.Addr().Is4() {
			return r, fmt.Errorf("gateway %s and destination %s are of two families", r.gateway, r.destination)
		}
	}
	if args.Interface != "" {
		if r.link, err = interfaceNamed(args.Interface); err != nil {
			return r, err
		}
	}
	if r.link == nil && args.Gateway == "" && !args.Remove {
		return r, fmt.Errorf("route to %s has neither gateway nor interface", r.destination)
	}
	return r, nil
}

func setNeighbor(_ context.Context, args NeighborArgs) (done, error) {
	i, err := interfaceNamed(args.Interface)
	if err != nil {
		return done{}, err
	}
	addr, err := netip.ParseAddr(args.Address)
	if err != nil {
		return done{}, err
	}
	var mac net.HardwareAddr
	if !args.Remove {
		if mac, err = parseMAC(args.MAC); err != nil {
			return done{}, err
		}
	}
	if err := changeNeighbor(i, addr, mac, args.Remove); err != nil {
		return done{}, fmt.Errorf("%s: %s neighbour %s: %w", i.Name, verb(args.Remove), addr, err)
	}
	return done{}, nil
}

// interfaceNamed fails without an errno: that an interface is missing is for the
// case to judge, by OpInterfaces.
func interfaceNamed(name string) (*net.Interface, error) {
	i, err := net.InterfaceByName(name)
	if err != nil {
		return nil, fmt.Errorf("interface %q: %w", name, err)
	}
	return i, nil
}

func parseMAC(s string) (net.HardwareAddr, error) {
	mac, err := net.ParseMAC(s)
	if err == nil && len(mac) != 6 {
		err = fmt.Errorf("%s: not an Ethernet address", s)
	}
	return mac, err
}

func verb(remove bool) string {
	if remove {
		return "remove"
	}
	return "add"
}
