package renewal

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// rest has nothing to wait for: RNDRESEEDCRNG takes effect at once.
func rest(ctx context.Context) error { return ctx.Err() }

func setClock(t time.Time) error {
	tv := unix.NsecToTimeval(t.UnixNano())
	return os.NewSyscallError("settimeofday", unix.Settimeofday(&tv))
}

// reseed adds the seed to the entropy pool, credits it, and has the generators of
// all CPUs keyed anew from the pool (random(4)).
func reseed(seed []byte) error {
	fd, err := unix.Open("/dev/urandom", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return os.NewSyscallError("open /dev/urandom", err)
	}
	defer unix.Close(fd)
	// struct rand_pool_info: bits of entropy, bytes, and those bytes.
	info := binary.NativeEndian.AppendUint32(nil, uint32(8*len(seed)))
	info = binary.NativeEndian.AppendUint32(info, uint32(len(seed)))
	info = append(info, seed...)
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.RNDADDENTROPY, uintptr(unsafe.Pointer(&info[0]))); errno != 0 {
		return os.NewSyscallError("RNDADDENTROPY", errno)
	}
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.RNDRESEEDCRNG, 0); errno != 0 {
		return os.NewSyscallError("RNDRESEEDCRNG", errno)
	}
	return nil
}

// ifReq is struct ifreq of netdevice(7).
type ifReq struct {
	Name [unix.IFNAMSIZ]byte
	Data [24]byte
}

func control(request uintptr, what string, i *net.Interface, req *ifReq) error {
	copy(req.Name[:unix.IFNAMSIZ-1], i.Name)
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return os.NewSyscallError("socket", err)
	}
	defer unix.Close(fd)
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), request, uintptr(unsafe.Pointer(req))); errno != 0 {
		return fmt.Errorf("%s: %s: %w", i.Name, what, errno)
	}
	return nil
}

func setUp(i *net.Interface) error { return setFlag(i, unix.IFF_UP) }

// setFlag sets IFF_UP to up, which is it or 0.
func setFlag(i *net.Interface, up uint16) error {
	var req ifReq
	if err := control(unix.SIOCGIFFLAGS, "SIOCGIFFLAGS", i, &req); err != nil {
		return err
	}
	flags := binary.NativeEndian.Uint16(req.Data[:])&^unix.IFF_UP | up
	binary.NativeEndian.PutUint16(req.Data[:], flags)
	return control(unix.SIOCSIFFLAGS, "SIOCSIFFLAGS", i, &req)
}

// setMAC takes the interface down for a driver that cannot change it while up.
func setMAC(i *net.Interface, mac net.HardwareAddr) error {
	var req ifReq
	binary.NativeEndian.PutUint16(req.Data[:], unix.ARPHRD_ETHER) // struct sockaddr
	copy(req.Data[2:], mac)
	err := control(unix.SIOCSIFHWADDR, "SIOCSIFHWADDR", i, &req)
	if !errors.Is(err, unix.EBUSY) {
		return err
	}
	if err := setFlag(i, 0); err != nil {
		return err
	}
	if err := control(unix.SIOCSIFHWADDR, "SIOCSIFHWADDR", i, &req); err != nil {
		return err
	}
	return setUp(i)
}

// send sends a whole frame (packet(7)).
func send(i *net.Interface, frame []byte) error {
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return os.NewSyscallError("socket", err)
	}
	defer unix.Close(fd)
	to := unix.SockaddrLinklayer{Ifindex: i.Index, Halen: 6}
	copy(to.Addr[:], frame)
	return os.NewSyscallError("sendto", unix.Sendto(fd, frame, 0, &to))
}
