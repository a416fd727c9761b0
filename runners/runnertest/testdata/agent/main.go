// Command agent is the guest of the runner's conformance suite: PID 1 of a Linux
// that has nothing else. It offers the operations that the suite names, and those
// that renew a clone.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/headwatch/headwatch/runners/guest"
	"github.com/headwatch/headwatch/runners/guest/renewal"
	kernel "github.com/headwatch/headwatch/suites/kernel/guest"
)

func main() {
	if err := serve(); err != nil {
		panic(err) // the host finds it on the console
	}
}

func serve() error {
	for _, m := range [][2]string{{"devtmpfs", "/dev"}, {"proc", "/proc"}, {"sysfs", "/sys"}} {
		if err := unix.Mount(m[0], m[1], m[0], 0, ""); err != nil && err != unix.EBUSY {
			return fmt.Errorf("mount %s: %w", m[1], err)
		}
	}
	if err := reset(); err != nil {
		return err
	}
	if err := loadModules(); err != nil {
		return err
	}
	if err := warn(); err != nil {
		return err
	}
	conn, err := open()
	if err != nil {
		return err
	}
	h, err := hello()
	if err != nil {
		return err
	}
	ops := maps.Clone(operations)
	maps.Copy(ops, talk)
	maps.Copy(ops, renewal.Operations())
	for name, op := range kernel.Operations() {
		ops[name] = guest.Operation(op)
	}
	for {
		ending, err := guest.Serve(context.Background(), conn, h, ops)
		if ending != nil {
			return powerOff(ending)
		}
		fmt.Println("agent: session ended:", err)
	}
}

var operations = map[string]guest.Operation{
	"test/echo": func(_ context.Context, args json.RawMessage) (any, error) { return args, nil },
	"test/open_missing": func(context.Context, json.RawMessage) (any, error) {
		f, err := os.Open("/missing")
		if err == nil {
			f.Close()
		}
		return nil, err
	},
	"test/wait": func(ctx context.Context, _ json.RawMessage) (any, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	},
	"test/hang": hang,
	// Resets the machine without a panic.
	"test/reset": func(context.Context, json.RawMessage) (any, error) {
		return nil, os.WriteFile("/proc/sysrq-trigger", []byte("b"), 0)
	},
	// Sleeps so many nanoseconds and answers how many its clock counted meanwhile.
	"test/sleep": func(ctx context.Context, args json.RawMessage) (any, error) {
		var d time.Duration
		if err := json.Unmarshal(args, &d); err != nil {
			return nil, err
		}
		began := time.Now()
		select {
		case <-time.After(d):
			return time.Since(began), nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	},
	"test/random": func(context.Context, json.RawMessage) (any, error) {
		b := make([]byte, 32)
		_, err := unix.Getrandom(b, 0)
		return b, err
	},
	"test/clock": func(context.Context, json.RawMessage) (any, error) { return time.Now().UnixNano(), nil },
	// Both the agent's memory and a file are the machine's own.
	"test/remember": func(_ context.Context, args json.RawMessage) (any, error) {
		var text string
		if err := json.Unmarshal(args, &text); err != nil {
			return nil, err
		}
		was, err := os.ReadFile(memoryFile)
		if err != nil && !os.IsNotExist(err) {
			return nil, err
		}
		answer := []string{remembered, string(was)}
		remembered = text
		return answer, os.WriteFile(memoryFile, []byte(text), 0o600)
	},
	"test/macs": func(context.Context, json.RawMessage) (any, error) {
		all, err := net.Interfaces()
		macs := []string{}
		for _, i := range all {
			if i.Flags&net.FlagLoopback == 0 {
				macs = append(macs, i.HardwareAddr.String())
			}
		}
		return macs, err
	},
	"test/send": func(_ context.Context, args json.RawMessage) (any, error) {
		var text string
		if err := json.Unmarshal(args, &text); err != nil {
			return nil, err
		}
		return nil, send(text)
	},
	// Kills the kernel, as far as QEMU can tell: a panic by sysrq.
	"test/panic": func(context.Context, json.RawMessage) (any, error) {
		return nil, os.WriteFile("/proc/sysrq-trigger", []byte("c"), 0)
	},
}

// send broadcasts a frame of a local experiment from each interface.
func send(text string) error {
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	all, err := net.Interfaces()
	if err != nil {
		return err
	}
	for _, i := range all {
		if i.Flags&net.FlagLoopback != 0 {
			continue
		}
		frame := append(bytes.Repeat([]byte{0xff}, 6), i.HardwareAddr...)
		frame = append(append(frame, 0x88, 0xb5), text...)
		frame = append(frame, make([]byte, 60)...)
		if err := unix.Sendto(fd, frame, 0, &unix.SockaddrLinklayer{Ifindex: i.Index}); err != nil {
			return err
		}
	}
	return nil
}

const memoryFile = "/remembered"

var remembered string

// warn has the kernel print a warning when its arguments ask for one.
func warn() error {
	args, err := os.ReadFile("/proc/cmdline")
	if err != nil || !bytes.Contains(args, []byte("runnertest.warn")) {
		return err
	}
	log, err := os.OpenFile("/dev/kmsg", os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer log.Close()
	for _, line := range []string{
		"<4>WARNING: CPU: 0 PID: 1 at runnertest.c:1 warned_at_boot+0x0/0x10", "<4>---[ end trace 0000000000000000 ]---",
	} {
		if _, err := log.WriteString(line + "\n"); err != nil {
			return err
		}
	}
	return nil
}

// reset has the kernel reset the machine, when it is told to.
func reset() error {
	args, err := os.ReadFile("/proc/cmdline")
	if err != nil || !bytes.Contains(args, []byte("runnertest.resets")) {
		return err
	}
	return os.WriteFile("/proc/sysrq-trigger", []byte("b"), 0)
}

func loadModules() error {
	list, err := os.ReadFile("/modules/order")
	if err != nil {
		return err
	}
	for _, name := range strings.Fields(string(list)) {
		f, err := os.Open("/modules/" + name)
		if err != nil {
			return err
		}
		err = unix.FinitModule(int(f.Fd()), "", 0)
		f.Close()
		if err != nil {
			return fmt.Errorf("load %s: %w", name, err)
		}
	}
	return nil
}

// open finds the channel to the host: the second UART when the kernel's
// arguments say so, else the virtio-serial port of that name.
func open() (*os.File, error) {
	args, err := os.ReadFile("/proc/cmdline")
	if err != nil {
		return nil, err
	}
	if bytes.Contains(args, []byte("runnertest.silent")) {
		for { // a guest that boots and never answers
			time.Sleep(time.Hour)
		}
	}
	if bytes.Contains(args, []byte("headwatch.control=serial")) {
		return openSerial("/dev/ttyS1")
	}
	for range 500 {
		names, _ := filepath.Glob("/sys/class/virtio-ports/*/name")
		for _, n := range names {
			if b, _ := os.ReadFile(n); strings.TrimSpace(string(b)) == "org.headwatch.agent" {
				return os.OpenFile("/dev/"+filepath.Base(filepath.Dir(n)), os.O_RDWR|syscall.O_NONBLOCK, 0)
			}
		}
		time.Sleep(10 * time.Millisecond) // udev would tell; there is none
	}
	return nil, fmt.Errorf("no port org.headwatch.agent")
}

func openSerial(path string) (*os.File, error) {
	fd, err := unix.Open(path, unix.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	t, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	if err != nil {
		return nil, err
	}
	t.Iflag, t.Oflag, t.Lflag = 0, 0, 0
	t.Cflag = unix.CS8 | unix.CREAD | unix.CLOCAL | unix.B115200
	t.Cc[unix.VMIN], t.Cc[unix.VTIME] = 1, 0
	if err := unix.IoctlSetTermios(fd, unix.TCSETS, t); err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), path), nil
}

func hello() (guest.Hello, error) {
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return guest.Hello{}, err
	}
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return guest.Hello{}, err
	}
	return guest.Hello{
		BootID: strings.TrimSpace(string(id)), OS: runtime.GOOS, Arch: runtime.GOARCH,
		Kernel: unix.ByteSliceToString(u.Release[:]), Agent: "runnertest", CPUs: runtime.NumCPU(),
	}, nil
}

func powerOff(e *guest.Ending) error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := e.Bye(ctx); err != nil {
		fmt.Println("agent:", err)
	}
	return unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF)
}
