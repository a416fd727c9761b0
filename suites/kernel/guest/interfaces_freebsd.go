package guest

import (
	"encoding/binary"
	"net"
	"net/netip"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// From netinet6/in6_var.h; the first is of the struct with a vhid, which FreeBSD
// 10 introduced, and so is SIOCAIFADDR's.
const (
	siocAIfAddrIn6 = 0x8088691b
	siocDIfAddrIn6 = 0x81206919
	siocAIfAddr    = 0x8044692b
	in6NoDAD       = 0x20
	forever        = ^uint32(0) // ND6_INFINITE_LIFETIME
)

// ifReq is struct ifreq of net/if.h; Data is its union.
type ifReq struct {
	Name [unix.IFNAMSIZ]byte
	Data [16]byte
}

// aliasReq is struct ifaliasreq.
type aliasReq struct {
	Name                  [unix.IFNAMSIZ]byte
	Addr, Broadcast, Mask unix.RawSockaddrInet4
	VHID                  int32
}

// aliasReq6 is struct in6_aliasreq.
type aliasReq6 struct {
	Name                    [unix.IFNAMSIZ]byte
	Addr, Destination, Mask unix.RawSockaddrInet6
	Flags                   int32
	Expire, Preferred       int64
	ValidLife, PreferLife   uint32
	VHID                    int32
	_                       int32
}

// ifReq6 is struct in6_ifreq, whose union is as large as its statistics.
type ifReq6 struct {
	Name [unix.IFNAMSIZ]byte
	Addr unix.RawSockaddrInet6
	_    [272 - unix.SizeofSockaddrInet6]byte
}

func setUp(i *net.Interface, up bool) error {
	req := newIfReq(i)
	if err := ioctl(unix.AF_INET, unix.SIOCGIFFLAGS, "SIOCGIFFLAGS", unsafe.Pointer(&req)); err != nil {
		return err
	}
	flags := binary.NativeEndian.Uint16(req.Data[:]) &^ unix.IFF_UP // the upper half follows
	if up {
		flags |= unix.IFF_UP
	}
	binary.NativeEndian.PutUint16(req.Data[:], flags)
	return ioctl(unix.AF_INET, unix.SIOCSIFFLAGS, "SIOCSIFFLAGS", unsafe.Pointer(&req))
}

func setMAC(i *net.Interface, mac net.HardwareAddr) error {
	req := newIfReq(i)
	req.Data[0], req.Data[1] = byte(len(mac)), unix.AF_LINK // struct sockaddr
	copy(req.Data[2:], mac)
	return ioctl(unix.AF_INET, unix.SIOCSIFLLADDR, "SIOCSIFLLADDR", unsafe.Pointer(&req))
}

func setMTU(i *net.Interface, mtu int) error {
	req := newIfReq(i)
	binary.NativeEndian.PutUint32(req.Data[:], uint32(mtu))
	return ioctl(unix.AF_INET, unix.SIOCSIFMTU, "SIOCSIFMTU", unsafe.Pointer(&req))
}

func newIfReq(i *net.Interface) ifReq {
	var req ifReq
	copy(req.Name[:unix.IFNAMSIZ-1], i.Name)
	return req
}

func changeAddress(i *net.Interface, p netip.Prefix, remove bool) error {
	if p.Addr().Is4() {
		return changeAddress4(i, p, remove)
	}
	if remove {
		req := ifReq6{Addr: sockaddr6(p.Addr(), i)}
		copy(req.Name[:unix.IFNAMSIZ-1], i.Name)
		return ioctl(unix.AF_INET6, siocDIfAddrIn6, "SIOCDIFADDR_IN6", unsafe.Pointer(&req))
	}
	req := aliasReq6{
		Addr: sockaddr6(p.Addr(), i), Mask: sockaddr6(mask(p), nil), Flags: in6NoDAD, ValidLife: forever, PreferLife: forever,
	}
	copy(req.Name[:unix.IFNAMSIZ-1], i.Name)
	return ioctl(unix.AF_INET6, siocAIfAddrIn6, "SIOCAIFADDR_IN6", unsafe.Pointer(&req))
}

func changeAddress4(i *net.Interface, p netip.Prefix, remove bool) error {
	if remove {
		req := newIfReq(i)
		*(*unix.RawSockaddrInet4)(unsafe.Pointer(&req.Data)) = sockaddr4(p.Addr())
		return ioctl(unix.AF_INET, unix.SIOCDIFADDR, "SIOCDIFADDR", unsafe.Pointer(&req))
	}
	// Without a broadcast address the kernel makes the usual one of it.
	req := aliasReq{Addr: sockaddr4(p.Addr()), Mask: sockaddr4(mask(p))}
	copy(req.Name[:unix.IFNAMSIZ-1], i.Name)
	return ioctl(unix.AF_INET, siocAIfAddr, "SIOCAIFADDR", unsafe.Pointer(&req))
}

// mask is the netmask of a prefix, as an address.
func mask(p netip.Prefix) netip.Addr {
	a, _ := netip.AddrFromSlice(net.CIDRMask(p.Bits(), p.Addr().BitLen()))
	return a
}

func sockaddr4(a netip.Addr) unix.RawSockaddrInet4 {
	return unix.RawSockaddrInet4{Len: unix.SizeofSockaddrInet4, Family: unix.AF_INET, Addr: a.As4()}
}

// sockaddr6 gives an address that is only good on one link the link's number.
func sockaddr6(a netip.Addr, link *net.Interface) unix.RawSockaddrInet6 {
	s := unix.RawSockaddrInet6{Len: unix.SizeofSockaddrInet6, Family: unix.AF_INET6, Addr: a.As16()}
	if link != nil && (a.IsLinkLocalUnicast() || a.IsLinkLocalMulticast()) {
		s.Scope_id = uint32(link.Index)
	}
	return s
}

func ioctl(family int, request uintptr, name string, arg unsafe.Pointer) error {
	fd, err := unix.Socket(family, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return os.NewSyscallError("socket", err)
	}
	defer unix.Close(fd)
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), request, uintptr(arg)); errno != 0 {
		return os.NewSyscallError(name, errno)
	}
	return nil
}
