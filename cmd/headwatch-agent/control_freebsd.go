package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	virtioPort = "/dev/vtcon/" + portName
	kenvGet    = 0 // from sys/kenv.h
	kenvMax    = 128
	// How much of the host's may be unread, in bytes. A virtio port drops what its
	// terminal has no room for, 23,040 bytes at 115200 baud. The second UART's driver
	// drops what its ring of 384 has none for (uart_bus_attach in
	// sys/dev/uart/uart_core.c) when the terminal behind it comes late.
	virtioWindow = 8 << 10
	uartWindow   = 256
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

// findUART finds the UART that is not the console. Which of two gets which number
// depends on the order in ACPI's tables, except where /boot/device.hints wires
// them; QEMU lists the second one first.
func findUART() string {
	consoles, _ := unix.Sysctl("kern.console") // unknown: the usual order
	devices, _ := filepath.Glob("/dev/cuau[0-9]")
	return otherUART(consoles, devices)
}

// otherUART takes the first of the callout devices whose terminal is not among
// the active consoles: the names before the slash, each with a comma after it, in
// kern.console (sysctl_kern_console in sys/kern/kern_cons.c).
func otherUART(consoles string, devices []string) string {
	active, _, _ := strings.Cut(consoles, "/")
	for _, device := range devices {
		unit := strings.TrimPrefix(device, "/dev/cuau")
		if active != "" && !slices.Contains(strings.Split(active, ","), "ttyu"+unit) {
			return device
		}
	}
	return "/dev/cuau1"
}

// presetRaw makes a terminal raw before it is opened, by the device of its
// initial state (tty(4)). Until makeRaw it would else be a login terminal of 9600
// baud, which echoes, takes control characters out of the host's frames (one of
// them, VDISCARD, silences the output) and keeps 1920 bytes.
func presetRaw(path string) error {
	if target, err := os.Readlink(path); err == nil { // a virtio port's name is an alias
		path = filepath.Join(filepath.Dir(path), target)
	}
	// cuau1 has cuau1.init, ttyV0.1 has ttyV0.1.init: tty_makedevf in sys/kern/tty.c.
	fd, err := unix.Open(path+".init", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NOCTTY, 0)
	if errors.Is(err, unix.ENOENT) {
		return nil // a terminal without one, such as a pseudo-terminal
	}
	if err != nil {
		return fmt.Errorf("%s.init: %w", path, os.NewSyscallError("open", err))
	}
	defer unix.Close(fd)
	return makeRaw(fd)
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
