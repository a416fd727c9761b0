package renewal

import (
	"encoding/binary"

	"golang.org/x/sys/unix"
)

// Capabilities of an interface (net/if.h).
var capabilities = map[string]uint32{
	"tso":  0x100 | 0x200,                   // IFCAP_TSO4, IFCAP_TSO6
	"lro":  0x400,                           // IFCAP_LRO
	"csum": 0x1 | 0x2 | 0x200000 | 0x400000, // IFCAP_RXCSUM, IFCAP_TXCSUM, and of IPv6
}

func (l *link) setMTU(mtu int) error {
	var req ifReq
	binary.NativeEndian.PutUint32(req.Data[:], uint32(mtu))
	return l.ioctl(unix.SIOCSIFMTU, "SIOCSIFMTU", &req)
}

// capable reads what the driver can do and what of it is on: ifr_reqcap and
// ifr_curcap.
func (l *link) capable() (can, on uint32, err error) {
	var req ifReq
	err = l.ioctl(unix.SIOCGIFCAP, "SIOCGIFCAP", &req)
	return binary.NativeEndian.Uint32(req.Data[:]), binary.NativeEndian.Uint32(req.Data[4:]), err
}

// offloads says whether any of what a name stands for is on.
func (l *link) offloads(name string) (bool, error) {
	_, on, err := l.capable()
	return on&capabilities[name] != 0, err
}

func (l *link) setOffload(name string, on bool) error {
	can, now, err := l.capable()
	if err != nil {
		return err
	}
	want := now &^ capabilities[name]
	if on {
		want |= can & capabilities[name]
	}
	var req ifReq
	binary.NativeEndian.PutUint32(req.Data[:], want)
	return l.ioctl(unix.SIOCSIFCAP, "SIOCSIFCAP", &req)
}
