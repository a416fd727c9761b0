//go:build linux || freebsd

package guest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"slices"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	defaultOutput = 64 << 10
	// heldWait is how long the output may stay open after the program's end.
	heldWait = 2 * time.Second
)

var errTimeout = errors.New("program's time is over")

// execute runs a program. That it exits with an error, or not in time, is an
// answer and no error.
func execute(ctx context.Context, args ExecArgs) (Exec, error) {
	limited, stop := ctx, func() {}
	if args.TimeoutS > 0 {
		limited, stop = context.WithTimeoutCause(ctx, seconds(args.TimeoutS), errTimeout)
	}
	defer stop()
	cmd, err := command(limited, &args)
	if err != nil {
		return Exec{}, err
	}
	stdout, stderr := newCapture(args.OutputLimit), newCapture(args.OutputLimit)
	cmd.Stdout, cmd.Stderr = stdout, stderr
	start := time.Now()
	if err := cmd.Start(); err != nil {
		return Exec{}, notOurs(err)
	}
	err = cmd.Wait()
	held := errors.Is(err, exec.ErrWaitDelay)
	if held { // somebody of the group lives, so its number was not given away
		_ = unix.Kill(-cmd.Process.Pid, unix.SIGKILL)
	}
	if ctx.Err() != nil {
		return Exec{}, context.Cause(ctx)
	}
	if cmd.ProcessState == nil {
		return Exec{}, err
	}
	x := ending(cmd.ProcessState)
	x.TimedOut = context.Cause(limited) == errTimeout && x.Signal == unix.SignalName(unix.SIGKILL)
	x.Held, x.Duration = held, time.Since(start).Seconds()
	x.Stdout, x.Stderr = stdout.output(), stderr.output()
	return x, nil
}

// command checks the arguments and fills in what they leave open.
func command(ctx context.Context, args *ExecArgs) (*exec.Cmd, error) {
	size := len(args.Stdin)
	for _, s := range slices.Concat(args.Argv, args.Env) {
		size += len(s)
	}
	switch {
	case len(args.Argv) == 0 || args.Argv[0] == "":
		return nil, errors.New("no program given")
	case size > MaxWrite:
		return nil, fmt.Errorf("arguments, environment and input are %d bytes, at most %d", size, MaxWrite)
	case args.OutputLimit < 0 || args.OutputLimit > MaxOutput:
		return nil, fmt.Errorf("output limit %d: at most %d bytes", args.OutputLimit, MaxOutput)
	case args.OutputLimit == 0:
		args.OutputLimit = defaultOutput
	}
	cmd := exec.CommandContext(ctx, args.Argv[0], args.Argv[1:]...)
	cmd.Dir = args.Dir
	if len(args.Env) > 0 {
		cmd.Env = args.Env
	}
	if len(args.Stdin) > 0 {
		cmd.Stdin = bytes.NewReader(args.Stdin)
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return unix.Kill(-cmd.Process.Pid, unix.SIGKILL) }
	cmd.WaitDelay = heldWait
	return cmd, nil
}

func ending(state *os.ProcessState) Exec {
	x := Exec{Exit: state.ExitCode()}
	if status, ok := state.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		x.Signal = unix.SignalName(status.Signal())
	}
	return x
}

// notOurs takes the errno out of an error that says that there is no such file, or
// that it is not for this use: the kernel is right to refuse then, and the case
// or the image at fault.
func notOurs(err error) error {
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) || errors.Is(err, unix.ENOTDIR) {
		return errors.New(err.Error())
	}
	return err
}

// capture keeps the beginning and the end of a stream.
type capture struct {
	limit int // of head and of tail
	head  []byte
	tail  []byte // a ring once it is full
	next  int    // where the ring goes on
	total int64
}

func newCapture(limit int) *capture { return &capture{limit: limit / 2} }

func (c *capture) Write(p []byte) (int, error) {
	n := len(p)
	c.total += int64(n)
	k := min(n, c.limit-len(c.head))
	c.head = append(c.head, p[:k]...)
	p = p[k:]
	if len(p) > c.limit {
		p = p[len(p)-c.limit:]
	}
	k = min(len(p), c.limit-len(c.tail))
	c.tail = append(c.tail, p[:k]...)
	for p = p[k:]; len(p) > 0; p = p[k:] {
		k = copy(c.tail[c.next:], p)
		c.next = (c.next + k) % c.limit
	}
	return n, nil
}

func (c *capture) output() Output {
	tail := append(bytes.Clone(c.tail[c.next:]), c.tail[:c.next]...)
	return Output{Head: c.head, Tail: tail, Dropped: c.total - int64(len(c.head)+len(tail))}
}
