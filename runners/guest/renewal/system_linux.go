package renewal

import (
	"context"
	"encoding/binary"
	"errors"
	"net"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// rest has nothing to wait for: RNDRESEEDCRNG takes effect at once.
func rest(ctx context.Context) error { return ctx.Err() }

// seedDevice takes entropy. It stays open without being read or written.
const seedDevice = "/dev/urandom"

// seedParts is 1: the pool is one.
func seedParts() int { return 1 }

// reseed adds the seed to the entropy pool, credits it, and has the generators of
// all CPUs keyed anew from the pool (random(4)).
func (k *keeper) reseed(seed []byte) error {
	// struct rand_pool_info: bits of entropy, bytes, and those bytes.
	info := binary.NativeEndian.AppendUint32(nil, uint32(8*len(seed)))
	info = binary.NativeEndian.AppendUint32(info, uint32(len(seed)))
	info = append(info, seed...)
	fd := k.seeds.Fd()
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, fd, unix.RNDADDENTROPY, uintptr(unsafe.Pointer(&info[0]))); errno != 0 {
		return os.NewSyscallError("RNDADDENTROPY", errno)
	}
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, fd, unix.RNDRESEEDCRNG, 0); errno != 0 {
		return os.NewSyscallError("RNDRESEEDCRNG", errno)
	}
	return nil
}

// ifReq is struct ifreq of netdevice(7).
type ifReq struct {
	Name [unix.IFNAMSIZ]byte
	Data [24]byte
}

func (l *link) setUp() error { return l.setFlag(unix.IFF_UP) }

// setFlag sets IFF_UP to up, which is it or 0.
func (l *link) setFlag(up uint16) error {
	var req ifReq
	if err := l.ioctl(unix.SIOCGIFFLAGS, "SIOCGIFFLAGS", &req); err != nil {
		return err
	}
	flags := binary.NativeEndian.Uint16(req.Data[:])&^unix.IFF_UP | up
	binary.NativeEndian.PutUint16(req.Data[:], flags)
	return l.ioctl(unix.SIOCSIFFLAGS, "SIOCSIFFLAGS", &req)
}

// setMAC takes the interface down for a driver that cannot change it while up.
func (l *link) setMAC(mac net.HardwareAddr) error {
	var req ifReq
	binary.NativeEndian.PutUint16(req.Data[:], unix.ARPHRD_ETHER) // struct sockaddr
	copy(req.Data[2:], mac)
	err := l.ioctl(unix.SIOCSIFHWADDR, "SIOCSIFHWADDR", &req)
	if !errors.Is(err, unix.EBUSY) {
		return err
	}
	if err := l.setFlag(0); err != nil {
		return err
	}
	if err := l.ioctl(unix.SIOCSIFHWADDR, "SIOCSIFHWADDR", &req); err != nil {
		return err
	}
	return l.setUp()
}

// openRaw opens what sends whole frames (packet(7)) and receives none.
func openRaw(*net.Interface) (int, error) {
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	return fd, os.NewSyscallError("socket", err)
}

func (l *link) send(frame []byte) error {
	to := unix.SockaddrLinklayer{Ifindex: l.Index, Halen: 6}
	copy(to.Addr[:], frame)
	return os.NewSyscallError("sendto", unix.Sendto(l.raw, frame, 0, &to))
}

// hush does nothing: what sends hears nothing, and closing it would wait for every
// CPU.
func (l *link) hush() error { return nil }
