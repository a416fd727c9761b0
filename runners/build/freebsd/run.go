package freebsd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"time"

	"github.com/headwatch/headwatch/runners"
)

// killGrace is how long the tools have to end after SIGTERM.
const killGrace = 5 * time.Second

// errExit is how a command ended that did not succeed.
type errExit struct{ err error }

func (e *errExit) Error() string { return e.err.Error() }
func (e *errExit) Unwrap() error { return e.err }

// run runs a command in a session of its own and leaves nothing of it behind,
// whether it ends by itself or with ctx. Its output goes to log. lock is a file
// that the children hold open: it may be nil. A command that does not succeed is
// an *errExit, one that could not start the rig's error.
func (c command) run(ctx context.Context, log io.Writer, lock *os.File) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	fmt.Fprintf(log, "$ %s\n", c.quote())
	cmd := exec.CommandContext(ctx, c.argv[0], c.argv[1:]...)
	cmd.Dir = "/"
	cmd.Env = c.env
	// A pipe of our own, since exec's would wait for whatever the leader left.
	out, in, err := os.Pipe()
	if err != nil {
		return err
	}
	defer out.Close()
	cmd.Stdout, cmd.Stderr = in, in
	cmd.SysProcAttr = childAttr()
	if lock != nil {
		cmd.ExtraFiles = []*os.File{lock}
	}
	// make passes SIGTERM on to its jobs, which are in process groups of their own.
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = killGrace
	// The kernel delivers the parent-death signal when the forking thread ends.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	err = cmd.Start()
	in.Close()
	if err != nil {
		return &runners.InfraError{Op: "start " + c.argv[0], Err: err}
	}
	copied := make(chan error, 1)
	go func() {
		_, err := io.Copy(log, out)
		if err != nil {
			io.Copy(io.Discard, out) // the tools must not wait for a reader
		}
		copied <- err
	}()
	err = cmd.Wait()
	if kill := killSession(cmd.Process.Pid); kill != nil {
		out.SetReadDeadline(time.Now()) // what does not end may hold the pipe
		return errors.Join(err, kill, <-copied)
	}
	if err := <-copied; err != nil && ctx.Err() == nil {
		return fmt.Errorf("log of the build: %w", err)
	}
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case err != nil:
		return &errExit{err}
	}
	return nil
}
