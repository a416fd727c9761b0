package qemu

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// maxStderr bounds what is kept of QEMU's own messages.
const maxStderr = 8 << 10

// process is a running QEMU. It dies with this process.
type process struct {
	cmd    *exec.Cmd
	stderr *lastBytes
	done   chan struct{} // closed when it is gone and waited for
	err    error         // how it ended; set before done is closed
}

// startProcess starts argv in dir. files become descriptors 3 and up.
//
// The parent-death signal fires when the thread that forked ends, so a goroutine
// locked to a thread of its own starts QEMU and waits for it.
func startProcess(argv []string, dir string, files ...*os.File) (*process, error) {
	p := &process{cmd: exec.Command(argv[0], argv[1:]...), stderr: &lastBytes{max: maxStderr}, done: make(chan struct{})}
	p.cmd.Dir = dir
	p.cmd.Stderr = p.stderr
	p.cmd.ExtraFiles = files
	p.cmd.Env = append(os.Environ(), "LC_ALL=C")
	p.cmd.WaitDelay = 2 * time.Second
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := startWithDefaultSignals(p.cmd)
		started <- err
		if err != nil {
			return
		}
		p.err = p.cmd.Wait()
		close(p.done)
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	// A core of QEMU would hold the guest's memory.
	if err := unix.Prlimit(p.cmd.Process.Pid, unix.RLIMIT_CORE, &unix.Rlimit{}, nil); err != nil && err != unix.ESRCH {
		p.kill()
		return nil, fmt.Errorf("limit core size: %w", err)
	}
	return p, nil
}

// startWithDefaultSignals starts cmd with the signals at their defaults that this
// process was told to ignore (as under nohup): a child inherits "ignore", but not
// a handler, so each gets one for the moment of the fork.
func startWithDefaultSignals(cmd *exec.Cmd) error {
	forkLock.Lock()
	defer forkLock.Unlock()
	handler := make(chan os.Signal, 1)
	for _, sig := range []os.Signal{syscall.SIGHUP, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGTERM} {
		if signal.Ignored(sig) {
			signal.Notify(handler, sig)
		}
	}
	defer signal.Stop(handler)
	return cmd.Start()
}

// forkLock keeps two starts from seeing each other's handlers. Signal
// dispositions belong to the whole process, hence the global.
var forkLock sync.Mutex

// kill ends QEMU and waits until it is gone. It may be called often.
func (p *process) kill() {
	p.cmd.Process.Kill() // fails only when it is gone
	<-p.done
}

// complaint is QEMU's last message, empty when it said nothing.
func (p *process) complaint() string {
	lines := strings.Split(strings.TrimSpace(p.stderr.String()), "\n")
	return strings.TrimSpace(lines[len(lines)-1])
}

// starved is how long QEMU's threads were ready to run and had no CPU, at most
// of any thread (proc(5), schedstat). Zero where the host does not tell.
func (p *process) starved() time.Duration {
	files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", p.cmd.Process.Pid))
	var most time.Duration
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			continue
		}
		if fields := bytes.Fields(b); len(fields) >= 2 {
			if ns, err := strconv.ParseInt(string(fields[1]), 10, 64); err == nil {
				most = max(most, time.Duration(ns))
			}
		}
	}
	return most
}

// lastBytes is a writer that keeps the end.
type lastBytes struct {
	max int
	mu  sync.Mutex
	b   []byte
}

func (l *lastBytes) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.b = append(l.b, p...)
	if n := len(l.b) - l.max; n > 0 {
		l.b = append(l.b[:0], l.b[n:]...)
	}
	return len(p), nil
}

func (l *lastBytes) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return string(l.b)
}
