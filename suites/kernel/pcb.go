package kernel

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"github.com/headwatch/headwatch/suites"
	"github.com/headwatch/headwatch/suites/kernel/guest"
)

// PCB is one TCP connection, or a listening socket.
type PCB struct {
	Local, Remote netip.AddrPort
	State         string   // "ESTABLISHED"
	Fields        Counters // the other members of struct xtcpcb that are numbers, by name
}

// PCBs are a kernel's TCP connections.
type PCBs struct {
	List []PCB
	// Changed says that connections came or went while the list was made: it may
	// lack some.
	Changed bool
}

// ReadPCBs lists the TCP connections of a FreeBSD guest, whose layouts must be
// known.
func ReadPCBs(ctx context.Context, g suites.Guest) (PCBs, error) {
	layouts, err := LayoutsOf(g)
	if err != nil {
		return PCBs{}, err
	}
	b, err := read(ctx, g, guest.OpPCBList, "")
	if err != nil {
		return PCBs{}, err
	}
	return DecodePCBs(b, layouts)
}

// DecodePCBs reads net.inet.tcp.pcblist: struct xinpgen, a struct xtcpcb for each
// connection, struct xinpgen again. Each begins with its length.
func DecodePCBs(b []byte, layouts Layouts) (PCBs, error) {
	const source = "net.inet.tcp.pcblist"
	gen, ok := layouts["xinpgen"]
	pcb, also := layouts["xtcpcb"]
	if !ok || !also {
		return PCBs{}, fmt.Errorf("%s: the layouts of xinpgen and xtcpcb are not known", source)
	}
	if gen.Size < 8 || pcb.Size < 8 || int64(len(b)) < 2*gen.Size || length(b) != gen.Size {
		return PCBs{}, fmt.Errorf("%s: %d bytes that do not begin with a struct xinpgen of %d", source, len(b), gen.Size)
	}
	where, err := findEndpoints(pcb)
	if err != nil {
		return PCBs{}, fmt.Errorf("%s: %w", source, err)
	}
	first, last := Counters{}, Counters{}
	gen.values(b, first)
	list := PCBs{}
	for b = b[gen.Size:]; int64(len(b)) > gen.Size; b = b[pcb.Size:] {
		if n := length(b); n != pcb.Size || int64(len(b)) < n {
			return PCBs{}, fmt.Errorf("%s: record of %d bytes, but struct xtcpcb has %d: is the layout of another kernel?", source, n, pcb.Size)
		}
		list.List = append(list.List, where.decode(b[:pcb.Size], pcb))
	}
	if int64(len(b)) != gen.Size || length(b) != gen.Size {
		return PCBs{}, fmt.Errorf("%s: list ends within a record, or without its end mark", source)
	}
	gen.values(b, last)
	list.Changed = first["xig_gen"] != last["xig_gen"]
	return list, nil
}

// length is what a record says of itself; a record too short to say is 0 long.
func length(b []byte) int64 {
	if len(b) < 8 {
		return 0
	}
	return int64(binary.LittleEndian.Uint64(b))
}

// endpoints are the members that make the addresses.
type endpoints struct {
	flags, state          Member
	localPort, remotePort Member
	localAddr, remoteAddr Member // 16 bytes; an IPv4 address is the last 4 of them
}

// findEndpoints knows the members by the end of their names: what they are nested
// in has been rearranged before.
func findEndpoints(s Struct) (endpoints, error) {
	var e endpoints
	var missing []string
	for _, want := range []struct {
		into   *Member
		part   string // what the name holds
		suffix string
		size   int64
	}{
		{&e.flags, "", "inp_vflag", 1},
		{&e.state, "", "t_state", 4},
		{&e.localPort, "", "ie_lport", 2},
		{&e.remotePort, "", "ie_fport", 2},
		{&e.localAddr, "ie_dependladdr", "__u6_addr8", 16},
		{&e.remoteAddr, "ie_dependfaddr", "__u6_addr8", 16},
	} {
		found := false
		for _, m := range s.Members {
			if !found && strings.HasSuffix(m.Name, want.suffix) && strings.Contains(m.Name, want.part) && m.Size == want.size {
				*want.into, found = m, true
			}
		}
		if !found {
			missing = append(missing, want.part+"…"+want.suffix)
		}
	}
	if missing != nil {
		return e, errors.New("struct xtcpcb has no member " + strings.Join(missing, ", "))
	}
	return e, nil
}

// ipv6 is INP_IPV6 of netinet/in_pcb.h.
const ipv6 = 0x2

func (e endpoints) decode(b []byte, s Struct) PCB {
	p := PCB{Fields: Counters{}}
	s.values(b, p.Fields)
	flags, _ := e.flags.number(b)
	p.Local = endpoint(e.localAddr.bytes(b), e.localPort.bytes(b), flags&ipv6 != 0)
	p.Remote = endpoint(e.remoteAddr.bytes(b), e.remotePort.bytes(b), flags&ipv6 != 0)
	p.State = "unknown"
	if n, ok := e.state.number(b); ok && n >= 0 && n < int64(len(tcpStates)) {
		p.State = tcpStates[n]
	}
	return p
}

func (m Member) bytes(b []byte) []byte { return b[m.Offset : m.Offset+m.Size] }

// endpoint makes an address of bytes in the network's order.
func endpoint(addr, port []byte, six bool) netip.AddrPort {
	n := binary.BigEndian.Uint16(port)
	if six {
		return netip.AddrPortFrom(netip.AddrFrom16([16]byte(addr)), n)
	}
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte(addr[12:])), n)
}
