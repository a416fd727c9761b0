package qemu

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"time"
)

const (
	// probeTime is how long KVM may take for a few thousand instructions.
	probeTime = 5 * time.Second
	// probeExit is QEMU's exit code after the probe's last instruction:
	// isa-debug-exit ends with (value << 1) | 1.
	probeExit = probeValue<<1 | 1
	// probeValue is what the probe writes.
	probeValue = 0x2a
	debugPort  = 0xf4
)

// proveKVM says why KVM cannot be used, nil when it can.
func (r *Runner) proveKVM(ctx context.Context) error {
	dev, err := os.OpenFile(kvmDevice, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	dev.Close()
	binary, err := r.binary()
	if err != nil {
		return err
	}
	return runProbe(ctx, binary, "kvm")
}

// runProbe runs a firmware of a few instructions to its end.
func runProbe(ctx context.Context, binary, accel string) error {
	firmware, err := probeFirmware()
	if err != nil {
		return err
	}
	defer firmware.Close()
	user, err := unprivileged()
	if err != nil {
		return err
	}
	p, err := startProcess([]string{
		binary, "-nodefaults", "-no-user-config", "-display", "none", "-machine", "q35", "-accel", accel, "-cpu", "max",
		"-m", "16", "-bios", reopen(3, ""), "-device", fmt.Sprintf("isa-debug-exit,iobase=%#x,iosize=1", debugPort),
	}, user.credential(accel), fence{}, limits{}, firmware)
	if err != nil {
		return err
	}
	timer := time.NewTimer(probeTime)
	defer timer.Stop()
	select {
	case <-p.done:
	case <-timer.C:
		p.kill()
		return fmt.Errorf("it hangs: %v for a few instructions", probeTime)
	case <-ctx.Done():
		p.kill()
		return context.Cause(ctx)
	}
	if exit, ok := errors.AsType[*exec.ExitError](p.err); ok && exit.ExitCode() == probeExit {
		return nil
	}
	if said := p.complaint(); said != "" {
		return errors.New(said)
	}
	return fmt.Errorf("the probe ended with %v", p.err)
}

// probeFirmware is a ROM in a memory file. The CPU starts 16 bytes below its
// end in real mode; the code counts to 65536, identifies the CPU and leaves
// through the debug port.
func probeFirmware() (*os.File, error) {
	rom := make([]byte, 64<<10)
	copy(rom[0xff00:], []byte{
		0x31, 0xc9, // xor cx, cx
		0x49,       // dec cx
		0x75, 0xfd, // jnz back one
		0x66, 0x31, 0xc0, // xor eax, eax
		0x0f, 0xa2, // cpuid
		0xb0, probeValue, // mov al, value
		0xe6, debugPort, // out port, al
		0xf4,       // hlt
		0xeb, 0xfd, // jmp to hlt
	})
	copy(rom[0xfff0:], []byte{0xe9, 0x0d, 0xff}) // jmp ff00
	f, err := memoryFile("probe")
	if err != nil {
		return nil, err
	}
	if _, err := f.Write(rom); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}
