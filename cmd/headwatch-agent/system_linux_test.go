package main

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"unsafe"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

func TestPortIn(t *testing.T) {
	sysfs := t.TempDir()
	if got := portIn(sysfs); got != "" {
		t.Errorf("no ports: %q", got)
	}
	for port, name := range map[string]string{"vport0p0": "", "vport0p1": "org.qemu.guest_agent.0\n", "vport1p2": "org.headwatch.agent\n"} {
		if err := os.Mkdir(filepath.Join(sysfs, port), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(sysfs, port, "name"), []byte(name), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if got := portIn(sysfs); got != "/dev/vport1p2" {
		t.Errorf("%q", got)
	}
}

func TestSysctlPath(t *testing.T) {
	for name, want := range map[string]string{
		"net.ipv4.tcp_sack":               "/proc/sys/net/ipv4/tcp_sack",
		"kernel/panic":                    "/proc/sys/kernel/panic",
		"net/ipv4/conf/eth0.1/forwarding": "/proc/sys/net/ipv4/conf/eth0.1/forwarding",
		"net.ipv4.conf.eth0/1.forwarding": "/proc/sys/net/ipv4/conf/eth0.1/forwarding",
		"single":                          "/proc/sys/single",
	} {
		if got := sysctlPath(name); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
}

func TestOnDisk(t *testing.T) {
	mounts := "rootfs / rootfs rw 0 0\nproc /proc proc rw 0 0\n/dev/vda1 /mnt ext4 rw 0 0\ntmpfs /tmp tmpfs rw 0 0\n/dev/vdb /mnt/a\\040b ext4 rw 0 0\n\n"
	if diff := cmp.Diff([]string{"/mnt/a b", "/mnt"}, onDisk(mounts)); diff != "" {
		t.Error(diff)
	}
}

func TestIntroduce(t *testing.T) {
	h, err := introduce()
	if err != nil {
		t.Fatal(err)
	}
	if h.OS != "linux" || h.CPUs < 1 || h.Kernel == "" || len(h.BootID) != 36 {
		t.Errorf("%+v", h)
	}
}

func TestDescribeEnd(t *testing.T) {
	for status, want := range map[unix.WaitStatus]string{
		0x0100: "agent ended: exit status 1",
		9:      "agent ended: killed",
	} {
		if got := describeEnd(status); got != want {
			t.Errorf("%#x: %q, want %q", status, got, want)
		}
	}
}

// A real terminal: what is written to one side of a pseudo-terminal in raw mode
// arrives byte for byte, and nothing is echoed.
func TestOpenTTY(t *testing.T) {
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("no pseudo-terminals here: %v", err)
	}
	defer master.Close()
	raw, err := master.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var name string
	if err := raw.Control(func(fd uintptr) { name, err = slaveOf(int(fd)) }); err != nil {
		t.Fatal(err)
	}
	if err != nil {
		t.Skipf("no pseudo-terminals here: %v", err)
	}
	tty, err := openTTY(name)
	if err != nil {
		t.Fatal(err)
	}
	defer tty.Close()
	const every = "\x00\x03\x04\n\r\x11\x13\x1a\x7f\xf5\xff"
	buf := make([]byte, 64)
	for _, way := range []struct {
		name     string
		from, to *os.File
	}{{"to the agent", master, tty}, {"to the host", tty, master}} {
		if _, err := way.from.WriteString(every); err != nil {
			t.Fatal(err)
		}
		if n, err := way.to.Read(buf); err != nil || string(buf[:n]) != every {
			t.Errorf("%s: %q, %v", way.name, buf[:n], err)
		}
	}
	if _, err := openTTY(os.DevNull); err == nil {
		t.Error("/dev/null is taken for a terminal")
	}
}

func slaveOf(fd int) (string, error) {
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		return "", err
	}
	var n uint32
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.TIOCGPTN, uintptr(unsafe.Pointer(&n))); errno != 0 {
		return "", errno
	}
	return fmt.Sprintf("/dev/pts/%d", n), nil
}
