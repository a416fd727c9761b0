package nic

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Interfaces are set by ioctls of netdevice(7) in the caller's network namespace,
// but for what only rtnetlink(7) can do.

// withSocket gives f a socket for ioctls.
func withSocket(f func(fd int) error) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("socket: %w", err)
	}
	defer unix.Close(fd)
	return f(fd)
}

func interfaceFlags(name string) (flags uint16, err error) {
	err = withSocket(func(fd int) error {
		r, err := unix.NewIfreq(name)
		if err != nil {
			return err
		}
		if err := unix.IoctlIfreq(fd, unix.SIOCGIFFLAGS, r); err != nil {
			return fmt.Errorf("flags of %s: %w", name, err)
		}
		flags = r.Uint16()
		return nil
	})
	return flags, err
}

// setUp takes an interface up or down.
func setUp(name string, up bool) error {
	flags, err := interfaceFlags(name)
	if err != nil {
		return err
	}
	flags &^= unix.IFF_UP
	if up {
		flags |= unix.IFF_UP
	}
	return withSocket(func(fd int) error {
		r, err := unix.NewIfreq(name)
		if err != nil {
			return err
		}
		r.SetUint16(flags)
		if err := unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, r); err != nil {
			return fmt.Errorf("set up of %s to %v: %w", name, up, err)
		}
		return nil
	})
}

func interfaceMTU(name string) (mtu int, err error) {
	err = withSocket(func(fd int) error {
		r, err := unix.NewIfreq(name)
		if err != nil {
			return err
		}
		if err := unix.IoctlIfreq(fd, unix.SIOCGIFMTU, r); err != nil {
			return fmt.Errorf("MTU of %s: %w", name, err)
		}
		mtu = int(r.Uint32())
		return nil
	})
	return mtu, err
}

func setMTU(name string, mtu int) error {
	return withSocket(func(fd int) error {
		r, err := unix.NewIfreq(name)
		if err != nil {
			return err
		}
		r.SetUint32(uint32(mtu))
		if err := unix.IoctlIfreq(fd, unix.SIOCSIFMTU, r); err != nil {
			return fmt.Errorf("%s takes no MTU of %d: %w", name, mtu, err)
		}
		return nil
	})
}

func interfaceIndex(name string) (index int, err error) {
	err = withSocket(func(fd int) error {
		r, err := unix.NewIfreq(name)
		if err != nil {
			return err
		}
		if err := unix.IoctlIfreq(fd, unix.SIOCGIFINDEX, r); err != nil {
			return fmt.Errorf("interface %s: %w", name, err)
		}
		index = int(r.Uint32())
		return nil
	})
	return index, err
}

// joinBridge makes an interface a port of a bridge.
func joinBridge(bridge, name string) error {
	index, err := interfaceIndex(name)
	if err != nil {
		return err
	}
	return withSocket(func(fd int) error {
		r, err := unix.NewIfreq(bridge)
		if err != nil {
			return err
		}
		r.SetUint32(uint32(index))
		if err := unix.IoctlIfreq(fd, unix.SIOCBRADDIF, r); err != nil {
			return fmt.Errorf("add %s to bridge %s: %w", name, bridge, err)
		}
		return nil
	})
}

// ethtoolValue is struct ethtool_value of linux/ethtool.h.
type ethtoolValue struct{ command, data uint32 }

// ethtoolRequest is struct ifreq with a pointer.
type ethtoolRequest struct {
	name [unix.IFNAMSIZ]byte
	data unsafe.Pointer
	_    [16]byte
}

// ethtool gets or sets a word of an interface's settings. It fails with
// EOPNOTSUPP for an interface that does not have them.
func ethtool(name string, command, data uint32) (uint32, error) {
	v := ethtoolValue{command, data}
	err := withSocket(func(fd int) error {
		r := ethtoolRequest{data: unsafe.Pointer(&v)}
		copy(r.name[:unix.IFNAMSIZ-1], name)
		if _, _, e := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SIOCETHTOOL, uintptr(unsafe.Pointer(&r))); e != 0 {
			return fmt.Errorf("ethtool of %s: %w", name, e)
		}
		return nil
	})
	return v.data, err
}

// moveInterface moves an interface of the caller's namespace to another one:
// RTM_NEWLINK with IFLA_NET_NS_FD. It goes down on the way.
func moveInterface(name string, to *os.File) error {
	index, err := interfaceIndex(name)
	if err != nil {
		return err
	}
	var m bytes.Buffer
	const size = unix.SizeofNlMsghdr + unix.SizeofIfInfomsg + unix.SizeofRtAttr + 4
	for _, part := range []any{
		unix.NlMsghdr{Len: size, Type: unix.RTM_NEWLINK, Flags: unix.NLM_F_REQUEST | unix.NLM_F_ACK, Seq: 1},
		unix.IfInfomsg{Family: unix.AF_UNSPEC, Index: int32(index)},
		unix.RtAttr{Len: unix.SizeofRtAttr + 4, Type: unix.IFLA_NET_NS_FD},
		uint32(to.Fd()),
	} {
		if err := binary.Write(&m, binary.NativeEndian, part); err != nil {
			return err
		}
	}
	if err := askNetlink(m.Bytes()); err != nil {
		return fmt.Errorf("move %s to another network namespace: %w", name, err)
	}
	return nil
}

// askNetlink sends a request and reads the kernel's word on it: netlink(7).
func askNetlink(request []byte) error {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if err := unix.Sendto(fd, request, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return err
	}
	answer := make([]byte, 4096)
	n, _, err := unix.Recvfrom(fd, answer, 0)
	if err != nil {
		return err
	}
	if n < unix.SizeofNlMsghdr+4 || binary.NativeEndian.Uint16(answer[4:]) != unix.NLMSG_ERROR {
		return fmt.Errorf("netlink: %d bytes that are no acknowledgement", n)
	}
	if e := int32(binary.NativeEndian.Uint32(answer[unix.SizeofNlMsghdr:])); e != 0 {
		return unix.Errno(-e)
	}
	return nil
}
