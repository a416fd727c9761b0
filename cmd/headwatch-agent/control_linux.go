package main

import (
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

const (
	secondUART = "/dev/ttyS1"
	virtioSys  = "/sys/class/virtio-ports"
	// How much of the host's may be unread, in bytes. A virtio port that is full
	// makes the host wait; a UART's terminal keeps 64 KiB before it drops any.
	virtioWindow = 256 << 10
	uartWindow   = 4 << 10
)

func kernelArgument(name string) string {
	cmdline, err := os.ReadFile("/proc/cmdline")
	if err != nil {
		return "" // without /proc there are no arguments to obey
	}
	return argument(string(cmdline), name)
}

func findPort() string { return portIn(virtioSys) }

// portIn looks for our port among those in a sysfs folder.
func portIn(sysfs string) string {
	names, err := filepath.Glob(filepath.Join(sysfs, "*", "name"))
	if err != nil {
		return ""
	}
	for _, path := range names {
		name, err := os.ReadFile(path)
		if err == nil && strings.TrimSpace(string(name)) == portName {
			return "/dev/" + filepath.Base(filepath.Dir(path))
		}
	}
	return ""
}

// openPort opens a virtio port. It is not a terminal: bytes pass as they are.
func openPort(device string) (*os.File, error) {
	return os.OpenFile(device, os.O_RDWR|unix.O_NONBLOCK, 0)
}

// findUART is a constant: Linux numbers the PC's UARTs by their addresses.
func findUART() string { return secondUART }

// presetRaw has nothing to do: a terminal has no state before it is opened.
func presetRaw(string) error { return nil }

func makeRaw(fd int) error {
	t, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	if err != nil {
		return os.NewSyscallError("TCGETS", err)
	}
	plain(t)
	t.Cflag = t.Cflag&^unix.CBAUD | unix.B115200
	t.Ispeed, t.Ospeed = unix.B115200, unix.B115200
	return os.NewSyscallError("TCSETS", unix.IoctlSetTermios(fd, unix.TCSETS, t))
}
