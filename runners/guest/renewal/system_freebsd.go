package renewal

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"net"
	"os"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	// reseedPause is longer than the tenth of a second within which Fortuna does not
	// key itself twice (random_fortuna_pre_read in sys/dev/random/fortuna.c).
	reseedPause = 250 * time.Millisecond
	// seedWrites fill Fortuna's pool 0 whatever its threshold: a write makes four
	// events of 12 bytes, which go to the 32 pools in turn, so these bring at least
	// 8 events to each (randomdev_accumulate in sys/dev/random/randomdev.c).
	seedWrites = 72
)

// rest lets so much time pass since the generator was last keyed that the first
// read in a clone keys it anew.
func rest(ctx context.Context) error {
	pause := time.NewTimer(reseedPause)
	defer pause.Stop()
	select {
	case <-pause.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func setClock(t time.Time) error {
	tv := unix.NsecToTimeval(t.UnixNano())
	return os.NewSyscallError("settimeofday", unix.Settimeofday(&tv))
}

// reseed gives the generator so much that it keys itself before it answers next.
// Each write is a different digest of the seed.
func reseed(seed []byte) error {
	fd, err := unix.Open("/dev/random", unix.O_WRONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return os.NewSyscallError("open /dev/random", err)
	}
	defer unix.Close(fd)
	for n := range seedWrites {
		part := sha256.Sum256(append([]byte{byte(n)}, seed...))
		if _, err := unix.Write(fd, part[:]); err != nil {
			return os.NewSyscallError("write /dev/random", err)
		}
	}
	return nil
}

// ifReq is struct ifreq of net/if.h; Data is its union.
type ifReq struct {
	Name [unix.IFNAMSIZ]byte
	Data [16]byte
}

func ioctl(fd int, request uintptr, what string, arg unsafe.Pointer) error {
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), request, uintptr(arg)); errno != 0 {
		return os.NewSyscallError(what, errno)
	}
	return nil
}

func control(request uintptr, what string, i *net.Interface, req *ifReq) error {
	copy(req.Name[:unix.IFNAMSIZ-1], i.Name)
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return os.NewSyscallError("socket", err)
	}
	defer unix.Close(fd)
	if err := ioctl(fd, request, what, unsafe.Pointer(req)); err != nil {
		return fmt.Errorf("%s: %w", i.Name, err)
	}
	return nil
}

func setUp(i *net.Interface) error {
	var req ifReq
	if err := control(unix.SIOCGIFFLAGS, "SIOCGIFFLAGS", i, &req); err != nil {
		return err
	}
	flags := binary.NativeEndian.Uint16(req.Data[:]) | unix.IFF_UP // the upper half follows
	binary.NativeEndian.PutUint16(req.Data[:], flags)
	return control(unix.SIOCSIFFLAGS, "SIOCSIFFLAGS", i, &req)
}

func setMAC(i *net.Interface, mac net.HardwareAddr) error {
	var req ifReq
	req.Data[0], req.Data[1] = byte(len(mac)), unix.AF_LINK // struct sockaddr
	copy(req.Data[2:], mac)
	return control(unix.SIOCSIFLLADDR, "SIOCSIFLLADDR", i, &req)
}

// send sends a whole frame (bpf(4)).
func send(i *net.Interface, frame []byte) error {
	fd, err := unix.Open("/dev/bpf", unix.O_WRONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return os.NewSyscallError("open /dev/bpf", err)
	}
	defer unix.Close(fd)
	var req ifReq
	copy(req.Name[:unix.IFNAMSIZ-1], i.Name)
	if err := ioctl(fd, unix.BIOCSETIF, "BIOCSETIF", unsafe.Pointer(&req)); err != nil {
		return err
	}
	complete := uint32(1)
	if err := ioctl(fd, unix.BIOCSHDRCMPLT, "BIOCSHDRCMPLT", unsafe.Pointer(&complete)); err != nil {
		return err
	}
	_, err = unix.Write(fd, frame)
	return os.NewSyscallError("write", err)
}
