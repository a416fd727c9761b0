//go:build linux || freebsd

package guest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

const (
	logKept = 256 << 10 // bytes of kyua's log that wait for the host
	// grace is how long kyua may take to stop: it kills its tests and removes
	// their folders.
	grace = 20 * time.Second
	path  = "/sbin:/bin:/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin"
	home  = "/root"
)

// run is one kyua process and the folder with its results file. The folder's name
// is the run's.
type run struct {
	dir  string
	log  *tail
	stop context.CancelFunc
	done chan struct{} // closed when end is set and nothing of the run is left running
	end  End
}

// find returns kyua's path, or what the guest lacks.
func find(args StartArgs) (program, missing string) {
	for _, dir := range filepath.SplitList(variable(environment(args), "PATH")) {
		candidate := filepath.Join(dir, "kyua")
		if info, err := os.Stat(candidate); err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
			program = candidate
			break
		}
	}
	if program == "" {
		return "", "kyua is not installed"
	}
	if info, err := os.Stat(filepath.Join(args.Dir, "Kyuafile")); err != nil || !info.Mode().IsRegular() {
		return "", fmt.Sprintf("no tests are installed: there is no %s", filepath.Join(args.Dir, "Kyuafile"))
	}
	return program, ""
}

// environment does not depend on how the agent was started. TMPDIR is not set:
// tests that drop privileges must be able to reach their folders, and the lengths
// of paths are to be those that the tests' authors saw.
func environment(args StartArgs) []string {
	return append([]string{"PATH=" + path, "HOME=" + home}, args.Env...)
}

// variable is the last value of a name, as for exec.
func variable(env []string, name string) (value string) {
	for _, e := range env {
		if v, ok := strings.CutPrefix(e, name+"="); ok {
			value = v
		}
	}
	return value
}

// begin starts kyua and what waits for it.
func begin(program string, args StartArgs) (*run, error) {
	dir, err := os.MkdirTemp("", "headwatch-kyua-")
	if err != nil {
		return nil, ours("folder for the results", err)
	}
	ctx, stop := context.WithTimeout(context.Background(), time.Duration(args.TimeoutS*float64(time.Second)))
	r := &run{dir: dir, log: newTail(logKept), stop: stop, done: make(chan struct{})}
	argv := []string{"--logfile=" + filepath.Join(dir, "kyua.log")}
	for _, v := range args.Variables {
		argv = append(argv, "--variable="+v)
	}
	argv = append(argv, "test", "--results-file="+r.results(), "--")
	cmd := exec.CommandContext(ctx, program, append(argv, args.Filters...)...)
	cmd.Dir, cmd.Env = args.Dir, environment(args)
	cmd.Stdout, cmd.Stderr = r.log, r.log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	// SIGTERM, not SIGKILL: tests are in sessions of their own, and only kyua knows
	// them.
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = grace
	if err := cmd.Start(); err != nil {
		stop()
		os.RemoveAll(dir)
		return nil, ours("start kyua", err)
	}
	go r.wait(ctx, cmd, time.Now())
	return r, nil
}

// wait is the run's only goroutine besides those of exec, which it joins.
func (r *run) wait(ctx context.Context, cmd *exec.Cmd, began time.Time) {
	defer close(r.done)
	defer r.stop()
	err := cmd.Wait()
	syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // what is left of its process group
	r.end.DurationS = time.Since(began).Seconds()
	r.end.TimedOut = errors.Is(ctx.Err(), context.DeadlineExceeded)
	if state := cmd.ProcessState; state != nil {
		r.end.Exit = state.ExitCode()
		if ws, ok := state.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
			r.end.Signal = ws.Signal().String()
		}
	} else {
		r.end.Exit, r.end.Fault = -1, fmt.Sprintf("wait for kyua: %v", err)
		return
	}
	if r.end.Fault = r.unfinished(); r.end.Fault == "" {
		r.measure()
	}
}

// unfinished says why the results file is not whole. kyua writes all results in
// one transaction, so what it left when it was killed needs the journal beside it
// and has no results.
func (r *run) unfinished() string {
	if _, err := os.Stat(r.results() + "-journal"); err == nil {
		return "kyua left a journal beside its results file: it did not finish"
	}
	if info, err := os.Lstat(r.results()); err != nil || !info.Mode().IsRegular() {
		return "kyua left no results file"
	}
	return ""
}

func (r *run) measure() {
	file, err := os.Open(r.results())
	if err != nil {
		r.end.Fault = err.Error()
		return
	}
	defer file.Close()
	sum := sha256.New()
	if r.end.Bytes, err = io.Copy(sum, file); err != nil {
		r.end.Fault = err.Error()
		return
	}
	r.end.Digest = hex.EncodeToString(sum.Sum(nil))
}

func (r *run) results() string { return filepath.Join(r.dir, "results.db") }

func (r *run) over() bool {
	select {
	case <-r.done:
		return true
	default:
		return false
	}
}

// remove ends the run and deletes its folder.
func (r *run) remove() error {
	r.stop()
	<-r.done
	if err := os.RemoveAll(r.dir); err != nil {
		return ours("remove the results", err)
	}
	return nil
}
