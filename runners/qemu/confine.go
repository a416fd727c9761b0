package qemu

import (
	"context"
	"fmt"
	"strconv"

	"golang.org/x/sys/unix"
)

// limits are what QEMU may take of the host (setrlimit(2)), whatever its guest makes
// of it. Zero fields: no limit.
type limits struct {
	memory uint64 // bytes of address space
	file   uint64 // bytes of a file that it writes
	files  uint64 // open files
}

const (
	// What QEMU's address space has beside the guest's memory: 1.4 GiB were measured
	// with 2 CPUs, 1 GiB of it for translated code.
	ownMemory = 2 << 30
	// And for each CPU: a stack of 8 MiB, and the 128 MiB that malloc(3) reserves for a
	// thread's arena.
	cpuMemory = 136 << 20
	// What a file may have beside the disk's or memory's content: states and tables.
	ownFile = 256 << 20
	// It has 30 open with one NIC.
	ownFiles, nicFiles = 256, 64
)

// limits are set by what the machine is. disk is the size of the largest, in bytes.
func (o Options) limits(disk uint64) limits {
	memory := uint64(o.Memory) << 20
	return limits{
		memory: memory + ownMemory + uint64(o.SMP)*cpuMemory,
		file:   max(memory, disk) + ownFile,
		files:  ownFiles + nicFiles*uint64(len(o.NICs)),
	}
}

// limiter has sh(1) set limits and then become what it was asked for: it is the same
// on every system, and QEMU has them before its first instruction. Cores are off, for
// one of QEMU would hold the guest's memory.
const limiter = `ulimit -c 0 && ulimit -v "$1" && ulimit -f "$2" && ulimit -n "$3" && shift 3 && exec "$@"`

// around is the command that runs argv within the limits, and within those that this
// process cannot leave.
func (l limits) around(argv []string) ([]string, error) {
	command := []string{"/bin/sh", "-c", limiter, "sh"}
	for _, s := range []struct {
		resource int
		value    uint64
		unit     uint64 // bytes, as sh(1) counts
	}{{unix.RLIMIT_AS, l.memory, 1024}, {unix.RLIMIT_FSIZE, l.file, 512}, {unix.RLIMIT_NOFILE, l.files, 1}} {
		var have unix.Rlimit
		if err := unix.Getrlimit(s.resource, &have); err != nil {
			return nil, fmt.Errorf("limits of qemu: %w", err)
		}
		value, most := s.value, uint64(have.Max)
		if value == 0 || value > most {
			value = most
		}
		word := "unlimited"
		if value < uint64(unix.RLIM_INFINITY)&(1<<63-1) {
			word = strconv.FormatUint(value/s.unit, 10)
		}
		command = append(command, word)
	}
	return append(command, argv...), nil
}

// Protection is something that keeps a guest which has taken over its QEMU from the
// host.
type Protection struct {
	Name string
	Off  error // why it is not there; nil: it is
}

// Protections lists what keeps QEMU from this host, found by starting it.
func (r *Runner) Protections(ctx context.Context) ([]Protection, error) {
	if _, err := r.binary(); err != nil {
		return nil, err
	}
	seccomp := errNoSeccomp
	if len(sandbox) > 0 {
		_, seccomp = r.ask(ctx, append([]string{"-machine", "none"}, append(sandbox, "--version")...)...)
	}
	return []Protection{
		{"system calls filtered", seccomp},
		{"network namespace", r.fence().off},
	}, nil
}

// fence is how QEMU is cut off from the host's network, found out once.
func (r *Runner) fence() fence {
	r.fencing.Do(func() {
		r.fenced = r.findFence()
		if r.fenced.off != nil {
			r.logger.Debug("QEMU shares the host's network", "err", r.fenced.off)
		}
	})
	return r.fenced
}

func (r *Runner) findFence() fence {
	binary, err := r.binary()
	if err != nil {
		return fence{off: err}
	}
	user, err := unprivileged()
	if err != nil {
		return fence{off: err}
	}
	return tryFences(binary, user)
}

// tryFence starts QEMU behind f, and says why that cannot be done.
func tryFence(binary string, user *account, f fence) error {
	p, err := startProcess([]string{binary, "--version"}, user.credential("tcg"), f, limits{})
	if err != nil {
		return err
	}
	<-p.done
	if p.err != nil {
		return fmt.Errorf("%s --version: %w", binary, p.err)
	}
	return nil
}
