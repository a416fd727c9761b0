package qemu

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"time"
)

const (
	// probeExit is QEMU's exit code after the probe's last instruction:
	// isa-debug-exit ends with (value << 1) | 1.
	probeExit = probeValue<<1 | 1
	// probeValue is what the probe writes.
	probeValue = 0x2a
	probeLoops = 1 << 16 // turns of a loop that show that code runs
	loops      = 1 << 27 // and that show how fast
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
	_, err = runProbe(ctx, binary, "kvm", probeLoops)
	return err
}

// loopTime is the CPU time that QEMU takes for a guest's loop of loops turns, with
// clock's arguments.
func (r *Runner) loopTime(ctx context.Context, accel string, clock ...string) (time.Duration, error) {
	binary, err := r.binary()
	if err != nil {
		return 0, err
	}
	return runProbe(ctx, binary, accel, loops, clock...)
}

// runProbe runs a firmware of a few instructions to its end, and returns the CPU time of
// its QEMU.
func runProbe(ctx context.Context, binary, accel string, turns uint32, clock ...string) (time.Duration, error) {
	firmware, err := probeFirmware(turns)
	if err != nil {
		return 0, err
	}
	defer firmware.Close()
	user, err := unprivileged()
	if err != nil {
		return 0, err
	}
	p, err := startProcess(append([]string{
		binary, "-nodefaults", "-no-user-config", "-display", "none", "-machine", "q35", "-accel", accel, "-cpu", "max",
		"-m", "16", "-bios", reopen(3, ""), "-device", fmt.Sprintf("isa-debug-exit,iobase=%#x,iosize=1", debugPort),
	}, clock...), user.credential(accel), fence{}, limits{}, firmware)
	if err != nil {
		return 0, err
	}
	timer := time.NewTimer(probeTime)
	defer timer.Stop()
	select {
	case <-p.done:
	case <-timer.C:
		p.kill()
		return 0, errProbeHangs
	case <-ctx.Done():
		p.kill()
		return 0, context.Cause(ctx)
	}
	if exit, ok := errors.AsType[*exec.ExitError](p.err); ok && exit.ExitCode() == probeExit {
		return exit.UserTime() + exit.SystemTime(), nil
	}
	if said := p.complaint(); said != "" {
		return 0, errors.New(said)
	}
	return 0, fmt.Errorf("the probe ended with %v", p.err)
}

// probeFirmware is a ROM in a memory file. The CPU starts 16 bytes below its
// end in real mode; the code counts turns, identifies the CPU and leaves
// through the debug port.
func probeFirmware(turns uint32) (*os.File, error) {
	rom := make([]byte, 64<<10)
	n := binary.LittleEndian.AppendUint32(nil, turns)
	copy(rom[0xff00:], []byte{
		0x66, 0xb9, n[0], n[1], n[2], n[3], // mov ecx, turns
		0x66, 0x49, // dec ecx
		0x75, 0xfc, // jnz back one
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
