package nic

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
)

// TestMain has a second life as the first process of the guest of TestPassthrough.
func TestMain(m *testing.M) {
	if os.Getpid() == 1 {
		guestMain()
	}
	if args := os.Getenv(victimVariable); args != "" {
		victim(strings.Fields(args)) // until it is killed
	}
	goleak.VerifyTestMain(m)
}

const (
	guestVariable  = "HEADWATCH_VFIO_GUEST"  // in the guest
	victimVariable = "HEADWATCH_VFIO_VICTIM" // in a process there that is going to be killed
	guestPassed    = "headwatch-vfio-guest: passed"
	guestFailed    = "headwatch-vfio-guest: failed"
)

// guestMain sets up a Linux that has nothing else, runs TestInGuest and powers off.
func guestMain() {
	verdict := guestPassed
	if err := guestRun(); err != nil {
		verdict = fmt.Sprintf("%s: %v", guestFailed, err)
	}
	fmt.Println(verdict)
	unix.Sync()
	unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF)
}

func guestRun() error {
	for _, m := range [][2]string{{"devtmpfs", "/dev"}, {"proc", "/proc"}, {"sysfs", "/sys"}, {"tmpfs", "/tmp"}} {
		if err := unix.Mount(m[0], m[1], m[0], 0, ""); err != nil && err != unix.EBUSY {
			return fmt.Errorf("mount %s: %w", m[1], err)
		}
	}
	order, err := os.ReadFile("/modules/order")
	if err != nil {
		return err
	}
	for _, name := range strings.Fields(string(order)) {
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
	cmd := exec.Command("/proc/self/exe", "-test.run=^TestInGuest$", "-test.v", "-test.timeout=150s")
	cmd.Env = []string{guestVariable + "=1", "TMPDIR=/tmp"}
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stdout
	return cmd.Run()
}
