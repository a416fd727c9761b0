package main

import (
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	secondUART = "/dev/cuau1"
	virtioPort = "/dev/vtcon/" + portName
	kenvGet    = 0 // from sys/kenv.h
	kenvMax    = 128
)

// kernelArgument reads the kernel's environment, which the loader filled.
func kernelArgument(name string) string {
	key, err := unix.BytePtrFromString(name)
	if err != nil {
		return ""
	}
	var value [kenvMax + 1]byte
	_, _, errno := unix.Syscall6(unix.SYS_KENV, kenvGet, uintptr(unsafe.Pointer(key)),
		uintptr(unsafe.Pointer(&value)), uintptr(len(value)), 0, 0)
	if errno != 0 {
		return ""
	}
	return unix.ByteSliceToString(value[:])
}

func findPort() string {
	if _, err := os.Stat(virtioPort); err != nil {
		return ""
	}
	return virtioPort
}

// openPort opens a virtio port, which FreeBSD makes a terminal.
func openPort(device string) (*os.File, error) { return openTTY(device) }

func makeRaw(fd int) error {
	t, err := unix.IoctlGetTermios(fd, unix.TIOCGETA)
	if err != nil {
		return os.NewSyscallError("TIOCGETA", err)
	}
	plain(t)
	t.Ispeed, t.Ospeed = 115200, 115200
	return os.NewSyscallError("TIOCSETA", unix.IoctlSetTermios(fd, unix.TIOCSETA, t))
}
