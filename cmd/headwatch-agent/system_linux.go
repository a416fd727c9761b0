package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// mountDevices gives the first process its console and the Go runtime of the
// second its /dev/null. An error shows when those are opened.
func mountDevices() {
	_ = mountAt("devtmpfs", "/dev", "mode=0755")
}

func mountAll() []step {
	var steps []step
	for _, m := range []struct{ kind, at, options string }{
		{"devtmpfs", "/dev", "mode=0755"},
		{"proc", "/proc", ""},
		{"sysfs", "/sys", ""},
		{"tmpfs", "/tmp", "mode=1777"},
		{"tmpfs", "/run", "mode=0755"},
	} {
		steps = append(steps, did("mount "+m.at, mountAt(m.kind, m.at, m.options)))
	}
	return steps
}

// mountAt mounts a file system without a device, once: the first process and the
// kernel may have been there before.
func mountAt(kind, at, options string) error {
	if err := os.MkdirAll(at, 0o755); err != nil {
		return err
	}
	err := unix.Mount(kind, at, kind, unix.MS_NOSUID, options)
	if errors.Is(err, unix.EBUSY) {
		return nil
	}
	return os.NewSyscallError("mount", err)
}

// loadModule loads one module; one that is loaded already is fine. A compressed
// one is for the kernel to unpack.
func loadModule(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	flags := 0
	if filepath.Ext(path) != ".ko" {
		flags = unix.MODULE_INIT_COMPRESSED_FILE
	}
	err = unix.FinitModule(int(f.Fd()), "", flags)
	if errors.Is(err, unix.EEXIST) {
		return nil
	}
	return os.NewSyscallError("finit_module", err)
}

func setSysctl(name, value string) error {
	return os.WriteFile(sysctlPath(name), []byte(value), 0)
}

// sysctlPath is the file of a sysctl, by sysctl(8)'s rule: the first separator
// of a name says what separates; with slashes, dots are part of the names.
func sysctlPath(name string) string {
	if i := strings.IndexAny(name, "./"); i >= 0 && name[i] == '.' {
		name = strings.NewReplacer(".", "/", "/", ".").Replace(name)
	}
	return "/proc/sys/" + name
}

// loopbackUp brings lo up, which gives it its addresses.
func loopbackUp() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return os.NewSyscallError("socket", err)
	}
	defer unix.Close(fd)
	lo, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	if err := unix.IoctlIfreq(fd, unix.SIOCGIFFLAGS, lo); err != nil {
		return os.NewSyscallError("SIOCGIFFLAGS", err)
	}
	lo.SetUint16(lo.Uint16() | unix.IFF_UP)
	return os.NewSyscallError("SIOCSIFFLAGS", unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, lo))
}

func bootID() (string, error) {
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	return strings.TrimSpace(string(id)), err
}

func release() (string, error) {
	var name unix.Utsname
	if err := unix.Uname(&name); err != nil {
		return "", os.NewSyscallError("uname", err)
	}
	return unix.ByteSliceToString(name.Release[:]), nil
}

// flush brings everything to disk and makes what has a disk read-only. A file
// system that something still writes to refuses; it has been synced then.
func flush(out console) {
	unix.Sync()
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return // nothing is mounted, or nothing can be known
	}
	for _, at := range onDisk(string(mounts)) {
		if err := unix.Mount("", at, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
			out.say("remount %s read-only: %v", at, err)
		}
	}
	unix.Sync()
}

// onDisk lists the mount points of file systems with a device, innermost first,
// from the text of /proc/self/mounts.
func onDisk(mounts string) []string {
	unescape := strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)
	var points []string
	for line := range strings.Lines(mounts) {
		fields := strings.Fields(line)
		if len(fields) >= 2 && strings.HasPrefix(fields[0], "/dev/") {
			points = append([]string{unescape.Replace(fields[1])}, points...)
		}
	}
	return points
}

// powerOff returns only when the kernel refused.
func powerOff() error {
	return os.NewSyscallError("reboot", unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF))
}
