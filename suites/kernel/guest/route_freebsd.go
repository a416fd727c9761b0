package guest

import (
	"bytes"
	"errors"
	"net"
	"net/netip"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// etherType is IFT_ETHER of net/if_types.h.
const etherType = 6

// changeRoute writes to a routing socket (route(4)).
func changeRoute(r route, remove bool) error {
	m := message{kind: unix.RTM_ADD, flags: unix.RTF_UP | unix.RTF_STATIC}
	m.add(unix.RTA_DST, address(r.destination.Addr(), r.link))
	switch {
	case r.gateway.IsValid():
		m.flags |= unix.RTF_GATEWAY
		m.add(unix.RTA_GATEWAY, address(r.gateway, r.link))
	case r.link != nil:
		m.add(unix.RTA_GATEWAY, linkAddress(r.link.Index, nil))
	}
	if r.destination.IsSingleIP() {
		m.flags |= unix.RTF_HOST
	} else {
		m.add(unix.RTA_NETMASK, address(mask(r.destination), nil))
	}
	if r.gateway.IsValid() && r.link != nil {
		m.add(unix.RTA_IFP, linkAddress(r.link.Index, nil))
	}
	return m.apply(remove)
}

// changeNeighbor sets an entry of the link layer's table, as arp(8) and ndp(8)
// do.
func changeNeighbor(i *net.Interface, addr netip.Addr, mac net.HardwareAddr, remove bool) error {
	m := message{kind: unix.RTM_ADD, flags: unix.RTF_HOST | unix.RTF_STATIC | unix.RTF_LLDATA, inits: unix.RTV_EXPIRE}
	m.add(unix.RTA_DST, address(addr, i))
	m.add(unix.RTA_GATEWAY, linkAddress(i.Index, mac))
	return m.apply(remove)
}

// message is a request to the routing table. Addresses are added in the order of
// their RTA_ numbers.
type message struct {
	kind  uint8
	flags int32
	inits uint64
	which int32
	addrs []byte
}

// add appends a socket address, padded to the word that the kernel aligns to.
func (m *message) add(which int32, addr []byte) {
	m.which |= which
	m.addrs = append(m.addrs, addr...)
	const word = 8
	m.addrs = append(m.addrs, make([]byte, (word-len(m.addrs)%word)%word)...)
}

// apply adds, or changes what is there already, or removes.
func (m message) apply(remove bool) error {
	if remove {
		m.kind, m.inits = unix.RTM_DELETE, 0
		return m.send()
	}
	err := m.send()
	if errors.Is(err, unix.EEXIST) {
		m.kind = unix.RTM_CHANGE
		err = m.send()
	}
	return err
}

func (m message) send() error {
	fd, err := unix.Socket(unix.AF_ROUTE, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.AF_UNSPEC)
	if err != nil {
		return os.NewSyscallError("socket", err)
	}
	defer unix.Close(fd)
	// The kernel's answer to the request is the error of the write; what it would
	// send back beside that is of no use.
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_USELOOPBACK, 0); err != nil {
		return os.NewSyscallError("SO_USELOOPBACK", err)
	}
	h := unix.RtMsghdr{
		Msglen: uint16(unix.SizeofRtMsghdr + len(m.addrs)), Version: unix.RTM_VERSION, Type: m.kind,
		Flags: m.flags, Addrs: m.which, Seq: 1, Inits: m.inits,
	}
	b := append(bytes.Clone(unsafe.Slice((*byte)(unsafe.Pointer(&h)), unix.SizeofRtMsghdr)), m.addrs...)
	_, err = unix.Write(fd, b)
	return os.NewSyscallError("route", err)
}

func address(a netip.Addr, link *net.Interface) []byte {
	if a.Is4() {
		s := sockaddr4(a)
		return append([]byte{}, unsafe.Slice((*byte)(unsafe.Pointer(&s)), unix.SizeofSockaddrInet4)...)
	}
	s := sockaddr6(a, link)
	return append([]byte{}, unsafe.Slice((*byte)(unsafe.Pointer(&s)), unix.SizeofSockaddrInet6)...)
}

func linkAddress(index int, mac net.HardwareAddr) []byte {
	s := unix.RawSockaddrDatalink{Len: unix.SizeofSockaddrDatalink, Family: unix.AF_LINK, Index: uint16(index), Alen: uint8(len(mac))}
	if len(mac) > 0 {
		s.Type = etherType
	}
	for i, b := range mac {
		s.Data[i] = int8(b)
	}
	return append([]byte{}, unsafe.Slice((*byte)(unsafe.Pointer(&s)), unix.SizeofSockaddrDatalink)...)
}
