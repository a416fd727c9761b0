package nic

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"
)

// packets are the frames of an interface, taken and put by a packet(7) socket that
// sees every frame, whomever it is for, and not the ones that it sent itself.
type packets struct {
	name    string
	mtu     int
	file    *os.File
	raw     syscall.RawConn
	dropped atomic.Int64
}

// openPackets opens an interface of the caller's network namespace, which is up.
func openPackets(name string, mtu int) (*packets, error) {
	index, err := interfaceIndex(name)
	if err != nil {
		return nil, err
	}
	// Of no protocol yet, so that nothing is received from other interfaces.
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("packet socket for %s: %w", name, err)
	}
	p := &packets{name: name, mtu: mtu, file: os.NewFile(uintptr(fd), "packets of "+name)}
	promiscuous := unix.PacketMreq{Ifindex: int32(index), Type: unix.PACKET_MR_PROMISC}
	err = errors.Join(
		unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_IGNORE_OUTGOING, 1),
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, receiveBuffer),
		unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: networkOrder(unix.ETH_P_ALL), Ifindex: index}),
		unix.SetsockoptPacketMreq(fd, unix.SOL_PACKET, unix.PACKET_ADD_MEMBERSHIP, &promiscuous),
	)
	if err == nil {
		p.raw, err = p.file.SyscallConn()
	}
	if err != nil {
		p.file.Close()
		return nil, fmt.Errorf("packet socket for %s: %w", name, err)
	}
	return p, nil
}

// receiveBuffer holds, in bytes, what comes while nobody reads. The kernel may
// grant less.
const receiveBuffer = 4 << 20

// networkOrder is v in network byte order.
func networkOrder(v uint16) uint16 {
	var b [2]byte
	binary.BigEndian.PutUint16(b[:], v)
	return binary.NativeEndian.Uint16(b[:])
}

// ReadFrame reads one frame.
func (p *packets) ReadFrame(b []byte) (n int, err error) {
	e := p.raw.Read(func(fd uintptr) bool {
		n, _, err = unix.Recvfrom(int(fd), b, unix.MSG_TRUNC)
		return !errors.Is(err, unix.EAGAIN) && !errors.Is(err, unix.EINTR)
	})
	switch {
	case e != nil:
		return 0, closed(e)
	case err != nil:
		return 0, fmt.Errorf("read from %s: %w", p.name, err)
	case n > len(b):
		return 0, fmt.Errorf("read from %s: %w: %d bytes, want at most %d", p.name, ErrFrame, n, len(b))
	}
	return n, nil
}

// WriteFrame sends one frame. A frame that is too long for the interface, or that
// finds its queue full, is lost, as on any cable.
func (p *packets) WriteFrame(b []byte) (err error) {
	if len(b) > p.mtu+overhead {
		p.dropped.Add(1)
		return nil
	}
	e := p.raw.Write(func(fd uintptr) bool {
		_, err = unix.Write(int(fd), b)
		return !errors.Is(err, unix.EAGAIN) && !errors.Is(err, unix.EINTR)
	})
	switch {
	case e != nil:
		return closed(e)
	case errors.Is(err, unix.ENOBUFS), errors.Is(err, unix.EMSGSIZE), errors.Is(err, unix.EINVAL):
		p.dropped.Add(1)
		return nil
	case err != nil:
		return fmt.Errorf("write to %s: %w", p.name, err)
	}
	return nil
}

// closed makes one error of the ways to say that this end was closed.
func closed(err error) error {
	if errors.Is(err, os.ErrClosed) {
		return net.ErrClosed
	}
	return err
}

func (p *packets) Close() error { return p.file.Close() }
