package renewal

import (
	"encoding/binary"
	"errors"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// knob is a pair of ethtool's commands (linux/ethtool.h) that read and set something.
type knob struct {
	get, set uint32
	bit      uint32 // of what is read and set; 0: all of it
}

const flagLRO = 1 << 15 // ETH_FLAG_LRO

var knobs = map[string][]knob{
	"tso":  {{unix.ETHTOOL_GTSO, unix.ETHTOOL_STSO, 0}},
	"lro":  {{unix.ETHTOOL_GFLAGS, unix.ETHTOOL_SFLAGS, flagLRO}},
	"csum": {{unix.ETHTOOL_GTXCSUM, unix.ETHTOOL_STXCSUM, 0}, {unix.ETHTOOL_GRXCSUM, unix.ETHTOOL_SRXCSUM, 0}},
}

func (l *link) setMTU(mtu int) error {
	var req ifReq
	binary.NativeEndian.PutUint32(req.Data[:], uint32(mtu))
	return l.ioctl(unix.SIOCSIFMTU, "SIOCSIFMTU", &req)
}

// ethtool gives or asks for struct ethtool_value.
func (l *link) ethtool(command, data uint32) (uint32, error) {
	value := [2]uint32{command, data}
	var req ifReq
	*(*unsafe.Pointer)(unsafe.Pointer(&req.Data)) = unsafe.Pointer(&value)
	err := l.ioctl(unix.SIOCETHTOOL, "SIOCETHTOOL", &req)
	runtime.KeepAlive(&value)
	return value[1], err
}

// offloads says whether any of what a name stands for is on. What the driver does not
// know is off.
func (l *link) offloads(name string) (bool, error) {
	for _, k := range knobs[name] {
		v, err := l.ethtool(k.get, 0)
		if errors.Is(err, unix.EOPNOTSUPP) {
			continue
		}
		if err != nil {
			return false, err
		}
		if k.bit != 0 {
			v &= k.bit
		}
		if v != 0 {
			return true, nil
		}
	}
	return false, nil
}

func (l *link) setOffload(name string, on bool) error {
	for _, k := range knobs[name] {
		was, err := l.ethtool(k.get, 0)
		if errors.Is(err, unix.EOPNOTSUPP) {
			continue
		}
		bit := max(k.bit, 1)
		want := was &^ bit
		if on {
			want |= bit
		}
		if err == nil {
			_, err = l.ethtool(k.set, want)
		}
		if err != nil && !errors.Is(err, unix.EOPNOTSUPP) { // what is then in force is read back
			return err
		}
	}
	return nil
}
