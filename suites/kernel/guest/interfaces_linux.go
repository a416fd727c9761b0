package guest

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// netlinkWait bounds the wait for an answer, which the kernel gives before the
// request's system call returns.
const netlinkWait = 5 * time.Second

func setUp(i *net.Interface, up bool) error {
	flags := uint32(0)
	if up {
		flags = unix.IFF_UP
	}
	return setLink(i, flags, unix.IFF_UP, nil)
}

func setMAC(i *net.Interface, mac net.HardwareAddr) error {
	return setLink(i, 0, 0, attribute(unix.IFLA_ADDRESS, mac))
}

func setMTU(i *net.Interface, mtu int) error {
	return setLink(i, 0, 0, attribute(unix.IFLA_MTU, number(mtu)))
}

// setLink changes the flags that mask names; body is struct ifinfomsg.
func setLink(i *net.Interface, flags, mask uint32, attributes []byte) error {
	body := []byte{unix.AF_UNSPEC, 0, 0, 0}
	body = append(body, number(i.Index)...)
	body = binary.NativeEndian.AppendUint32(body, flags)
	body = binary.NativeEndian.AppendUint32(body, mask)
	return netlink(unix.RTM_NEWLINK, 0, append(body, attributes...))
}

// changeAddress sends struct ifaddrmsg.
func changeAddress(i *net.Interface, p netip.Prefix, remove bool) error {
	body := []byte{family(p.Addr()), byte(p.Bits()), unix.IFA_F_PERMANENT | unix.IFA_F_NODAD, unix.RT_SCOPE_UNIVERSE}
	body = append(body, number(i.Index)...)
	body = append(body, attribute(unix.IFA_LOCAL, p.Addr().AsSlice())...)
	body = append(body, attribute(unix.IFA_ADDRESS, p.Addr().AsSlice())...)
	if remove {
		return netlink(unix.RTM_DELADDR, 0, body)
	}
	return netlink(unix.RTM_NEWADDR, unix.NLM_F_CREATE|unix.NLM_F_REPLACE, body)
}

// changeRoute sends struct rtmsg.
func changeRoute(r route, remove bool) error {
	scope := byte(unix.RT_SCOPE_UNIVERSE)
	switch {
	case remove:
		scope = unix.RT_SCOPE_NOWHERE // any
	case !r.gateway.IsValid():
		scope = unix.RT_SCOPE_LINK
	}
	to := r.destination
	body := []byte{family(to.Addr()), byte(to.Bits()), 0, 0, unix.RT_TABLE_MAIN, unix.RTPROT_STATIC, scope, unix.RTN_UNICAST, 0, 0, 0, 0}
	if to.Bits() > 0 {
		body = append(body, attribute(unix.RTA_DST, to.Addr().AsSlice())...)
	}
	if r.gateway.IsValid() {
		body = append(body, attribute(unix.RTA_GATEWAY, r.gateway.AsSlice())...)
	}
	if r.link != nil {
		body = append(body, attribute(unix.RTA_OIF, number(r.link.Index))...)
	}
	if remove {
		return netlink(unix.RTM_DELROUTE, 0, body)
	}
	return netlink(unix.RTM_NEWROUTE, unix.NLM_F_CREATE|unix.NLM_F_REPLACE, body)
}

// changeNeighbor sends struct ndmsg.
func changeNeighbor(i *net.Interface, addr netip.Addr, mac net.HardwareAddr, remove bool) error {
	body := []byte{family(addr), 0, 0, 0}
	body = append(body, number(i.Index)...)
	body = binary.NativeEndian.AppendUint16(body, unix.NUD_PERMANENT)
	body = append(body, 0, 0)
	body = append(body, attribute(unix.NDA_DST, addr.AsSlice())...)
	if remove {
		return netlink(unix.RTM_DELNEIGH, 0, body)
	}
	body = append(body, attribute(unix.NDA_LLADDR, mac)...)
	return netlink(unix.RTM_NEWNEIGH, unix.NLM_F_CREATE|unix.NLM_F_REPLACE, body)
}

func family(a netip.Addr) byte {
	if a.Is4() {
		return unix.AF_INET
	}
	return unix.AF_INET6
}

func number(n int) []byte { return binary.NativeEndian.AppendUint32(nil, uint32(n)) }

// attribute is struct rtattr with its value, padded.
func attribute(kind uint16, value []byte) []byte {
	b := binary.NativeEndian.AppendUint16(nil, uint16(unix.SizeofRtAttr+len(value)))
	b = binary.NativeEndian.AppendUint16(b, kind)
	b = append(b, value...)
	return append(b, make([]byte, (4-len(b)%4)%4)...)
}

// netlink sends one request (RFC 3549) and returns the error that its
// acknowledgement carries.
func netlink(kind, flags uint16, body []byte) error {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
	if err != nil {
		return os.NewSyscallError("socket", err)
	}
	defer unix.Close(fd)
	wait := unix.NsecToTimeval(netlinkWait.Nanoseconds())
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &wait); err != nil {
		return os.NewSyscallError("SO_RCVTIMEO", err)
	}
	msg := binary.NativeEndian.AppendUint32(nil, uint32(unix.NLMSG_HDRLEN+len(body)))
	msg = binary.NativeEndian.AppendUint16(msg, kind)
	msg = binary.NativeEndian.AppendUint16(msg, unix.NLM_F_REQUEST|unix.NLM_F_ACK|flags)
	msg = binary.NativeEndian.AppendUint32(msg, 1)
	msg = binary.NativeEndian.AppendUint32(msg, 0)
	if err := unix.Sendto(fd, append(msg, body...), 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return os.NewSyscallError("netlink", err)
	}
	answer := make([]byte, 8192)
	n, _, err := unix.Recvfrom(fd, answer, 0)
	if errors.Is(err, unix.EAGAIN) {
		return fmt.Errorf("netlink: no answer within %v", netlinkWait)
	}
	if err != nil {
		return os.NewSyscallError("netlink", err)
	}
	return acknowledged(answer[:n])
}

// acknowledged reads struct nlmsghdr and struct nlmsgerr.
func acknowledged(b []byte) error {
	if len(b) < unix.NLMSG_HDRLEN+4 || binary.NativeEndian.Uint16(b[4:]) != unix.NLMSG_ERROR {
		return fmt.Errorf("netlink: %d bytes that acknowledge nothing", len(b))
	}
	if errno := -int32(binary.NativeEndian.Uint32(b[unix.NLMSG_HDRLEN:])); errno != 0 {
		return os.NewSyscallError("netlink", unix.Errno(errno))
	}
	return nil
}
