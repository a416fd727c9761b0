package renewal

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
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
	// usualPool is the threshold of Fortuna's pool 0, in bytes, where nobody set it.
	usualPool = 64
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

// seedDevice takes entropy.
const seedDevice = "/dev/random"

// seedParts is how many writes fill Fortuna's pool 0 to its threshold: a write makes
// four events of 12 bytes, which go to the 32 pools in turn (randomdev_accumulate
// in sys/dev/random/randomdev.c), so eight bring each pool one. Two more than
// needed are sent, so that there are 32 bytes of the seed in the pool at least.
func seedParts() int {
	pool, err := unix.SysctlUint32("kern.random.fortuna.minpoolsize")
	if err != nil || pool > 1<<12 {
		pool = usualPool
	}
	return 8 * (int(pool+11)/12 + 2)
}

// reseed gives the generator so much that it keys itself before it answers next.
// Each write is a different digest of the seed.
func (k *keeper) reseed(seed []byte) error {
	for n := range k.parts {
		part := sha256.Sum256(append([]byte{byte(n)}, seed...))
		if _, err := k.seeds.Write(part[:]); err != nil {
			return err
		}
	}
	return nil
}

// ifReq is struct ifreq of net/if.h; Data is its union.
type ifReq struct {
	Name [unix.IFNAMSIZ]byte
	Data [16]byte
}

func (l *link) setUp() error {
	var req ifReq
	if err := l.ioctl(unix.SIOCGIFFLAGS, "SIOCGIFFLAGS", &req); err != nil {
		return err
	}
	flags := binary.NativeEndian.Uint16(req.Data[:]) | unix.IFF_UP // the upper half follows
	binary.NativeEndian.PutUint16(req.Data[:], flags)
	return l.ioctl(unix.SIOCSIFFLAGS, "SIOCSIFFLAGS", &req)
}

func (l *link) setMAC(mac net.HardwareAddr) error {
	var req ifReq
	req.Data[0], req.Data[1] = byte(len(mac)), unix.AF_LINK // struct sockaddr
	copy(req.Data[2:], mac)
	return l.ioctl(unix.SIOCSIFLLADDR, "SIOCSIFLLADDR", &req)
}

// openRaw opens what sends whole frames (bpf(4)) and receives none.
func openRaw(i *net.Interface) (int, error) {
	fd, err := unix.Open("/dev/bpf", unix.O_WRONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, os.NewSyscallError("open /dev/bpf", err)
	}
	var req ifReq
	copy(req.Name[:unix.IFNAMSIZ-1], i.Name)
	complete := uint32(1)
	for _, c := range []struct {
		request uintptr
		name    string
		arg     unsafe.Pointer
	}{{unix.BIOCSETIF, "BIOCSETIF", unsafe.Pointer(&req)}, {unix.BIOCSHDRCMPLT, "BIOCSHDRCMPLT", unsafe.Pointer(&complete)}} {
		if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), c.request, uintptr(c.arg)); errno != 0 {
			unix.Close(fd)
			return -1, os.NewSyscallError(c.name, errno)
		}
	}
	return fd, nil
}

func (l *link) send(frame []byte) error {
	_, err := unix.Write(l.raw, frame)
	return os.NewSyscallError("write", err)
}

// hush closes what sends: each packet of the interface would be copied to it.
func (l *link) hush() error {
	fd := l.raw
	if fd < 0 {
		return nil
	}
	l.raw = -1
	return os.NewSyscallError("close /dev/bpf", unix.Close(fd))
}
