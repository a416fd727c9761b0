package main

import (
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"os"
	"strconv"
	"unsafe"

	"golang.org/x/sys/unix"
)

// From sys/reboot.h, and SIOCAIFADDR of the struct ifaliasreq with a vhid, which
// FreeBSD 10 introduced.
const (
	rbPowerOff  = 0x4000
	siocAIfAddr = 0x8044692b
)

// mountDevices does nothing: the kernel mounts devfs before the first process.
func mountDevices() {}

func mountAll() []step {
	return []step{did("mount /tmp", mountTmpfs("/tmp"))}
}

func mountTmpfs(at string) error {
	var iov []unix.Iovec
	for _, s := range []string{"fstype", "tmpfs", "fspath", at} {
		b, err := unix.ByteSliceFromString(s)
		if err != nil {
			return err
		}
		v := unix.Iovec{Base: &b[0]}
		v.SetLen(len(b))
		iov = append(iov, v)
	}
	_, _, errno := unix.Syscall(unix.SYS_NMOUNT, uintptr(unsafe.Pointer(&iov[0])), uintptr(len(iov)), 0)
	if errno != 0 {
		return os.NewSyscallError("nmount", errno)
	}
	return nil
}

func loadModule(path string) error {
	name, err := unix.BytePtrFromString(path)
	if err != nil {
		return err
	}
	_, _, errno := unix.Syscall(unix.SYS_KLDLOAD, uintptr(unsafe.Pointer(name)), 0, 0)
	if errno == 0 || errors.Is(errno, unix.EEXIST) {
		return nil
	}
	return os.NewSyscallError("kldload", errno)
}

// setSysctl writes a sysctl. The kernel wants numbers in binary: a value that
// reads as one takes the width of the old one.
func setSysctl(name, value string) error {
	old, err := unix.SysctlRaw(name)
	if err != nil {
		return os.NewSyscallError("sysctl", err)
	}
	data := append([]byte(value), 0)
	if n, err := strconv.ParseInt(value, 0, 64); err == nil {
		switch len(old) {
		case 1:
			data = []byte{byte(n)}
		case 4:
			data = binary.NativeEndian.AppendUint32(nil, uint32(n))
		case 8:
			data = binary.NativeEndian.AppendUint64(nil, uint64(n))
		}
	}
	return putSysctl(name, data)
}

// putSysctl writes the bytes of a value.
func putSysctl(name string, data []byte) error {
	key := []byte(name)
	_, _, errno := unix.Syscall6(unix.SYS___SYSCTLBYNAME, uintptr(unsafe.Pointer(&key[0])), uintptr(len(key)),
		0, 0, uintptr(unsafe.Pointer(&data[0])), uintptr(len(data)))
	if errno != 0 {
		return os.NewSyscallError("sysctl", errno)
	}
	return nil
}

// ifAlias is struct ifaliasreq of net/if.h.
type ifAlias struct {
	Name                  [unix.IFNAMSIZ]byte
	Addr, Broadcast, Mask unix.RawSockaddrInet4
	VHID                  int32
}

// loopbackUp gives lo0 its IPv4 address, which brings it up; the kernel then
// adds the IPv6 one by itself.
func loopbackUp() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return os.NewSyscallError("socket", err)
	}
	defer unix.Close(fd)
	inet := func(a, b, c, d byte) unix.RawSockaddrInet4 {
		return unix.RawSockaddrInet4{Len: unix.SizeofSockaddrInet4, Family: unix.AF_INET, Addr: [4]byte{a, b, c, d}}
	}
	req := ifAlias{Addr: inet(127, 0, 0, 1), Mask: inet(255, 0, 0, 0)}
	copy(req.Name[:], "lo0")
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), siocAIfAddr, uintptr(unsafe.Pointer(&req)))
	if errno != 0 {
		return os.NewSyscallError("SIOCAIFADDR", errno)
	}
	return nil
}

// bootID is what the kernel drew at boot; a kernel without that sysctl gets an
// id that lives as long as the agent.
func bootID() (string, error) {
	id, err := unix.SysctlRaw("kern.boot_id")
	if err != nil || len(id) == 0 {
		id = make([]byte, 16)
		if _, err := rand.Read(id); err != nil {
			return "", err
		}
	}
	return hex.EncodeToString(id), nil
}

func release() (string, error) { return unix.Sysctl("kern.osrelease") }

// flush brings everything to disk and what was said to the console: a terminal
// takes a text before it has sent it, and the kernel's last words, which go past
// the terminal, would come in between. reboot(2) unmounts what it can by itself.
func flush(out console) {
	if tty, ok := out.w.(*os.File); ok {
		// Something that is no terminal has nothing to drain.
		_, _, _ = unix.Syscall(unix.SYS_IOCTL, tty.Fd(), unix.TIOCDRAIN, 0)
	}
	if err := unix.Sync(); err != nil {
		out.say("sync: %v", err)
	}
}

// powerOff returns only when the kernel refused.
func powerOff() error {
	_, _, errno := unix.Syscall(unix.SYS_REBOOT, rbPowerOff, 0, 0)
	if errno != 0 {
		return os.NewSyscallError("reboot", errno)
	}
	return nil
}
