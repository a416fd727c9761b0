package qemu

import (
	"errors"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"
)

// maxStderr bounds what is kept of QEMU's own messages.
const maxStderr = 8 << 10

// process is a running QEMU. It dies with this process.
type process struct {
	cmd    *exec.Cmd
	binary string
	stderr *lastBytes
	done   chan struct{} // closed when it is gone and waited for
	err    error         // how it ended; set before done is closed
	rank   *rank         // what raise gives back; nil: it was not lowered
}

// startProcess starts argv as who, nil as this process's user, behind a fence and
// within limits. files become descriptors 3 and up. It works in /, since it need not
// be able to enter any other folder.
//
// The parent-death signal fires when the thread that forked ends, so a goroutine
// locked to a thread of its own starts QEMU and waits for it.
func startProcess(argv []string, who *syscall.Credential, around fence, within limits, files ...*os.File) (*process, error) {
	limited, err := within.around(argv)
	if err != nil {
		return nil, err
	}
	p := &process{cmd: exec.Command(limited[0], limited[1:]...), binary: argv[0], stderr: &lastBytes{max: maxStderr}, done: make(chan struct{})}
	p.cmd.Dir = "/"
	p.cmd.Stderr = p.stderr
	p.cmd.ExtraFiles = files
	p.cmd.Env = environment(os.Environ(), who != nil)
	p.cmd.WaitDelay = 2 * time.Second
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL, Credential: who}
	around.on(p.cmd.SysProcAttr)
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := fork(p.cmd)
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
	return p, nil
}

// environment is what QEMU gets of env: it needs little, and what a daemon was
// started with may hold secrets. A folder for temporary files that another user
// cannot write to is left out; QEMU then takes /var/tmp.
func environment(env []string, other bool) []string {
	kept := []string{"LC_ALL=C"}
	for _, e := range env {
		name, value, _ := strings.Cut(e, "=")
		switch name {
		case "TMPDIR":
			if st, err := os.Stat(value); other && (err != nil || st.Mode()&0o002 == 0) {
				continue
			}
		case "PATH", "LD_LIBRARY_PATH":
		default:
			continue
		}
		kept = append(kept, e)
	}
	return kept
}

// fork starts cmd with what a child inherits set right. The signals that this
// process was told to ignore (as under nohup) are at their defaults: a child
// inherits "ignore", but not a handler, so each gets one for the moment of the
// fork.
func fork(cmd *exec.Cmd) error {
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

// forkLock keeps two starts from seeing each other's handlers, which belong to the
// whole process, hence the global.
var forkLock sync.Mutex

// kill ends QEMU and waits until it is gone. It may be called often.
func (p *process) kill() {
	p.cmd.Process.Kill() // fails only when it is gone
	<-p.done
}

// forbidden says that it ended since its user may not execute the binary (sh(1)); it
// must be gone.
func (p *process) forbidden() bool {
	exit, ok := errors.AsType[*exec.ExitError](p.err)
	return ok && exit.ExitCode() == 126
}

// complaint is QEMU's last message, empty when it said nothing.
func (p *process) complaint() string {
	lines := strings.Split(strings.TrimSpace(p.stderr.String()), "\n")
	return strings.TrimSpace(lines[len(lines)-1])
}

// starved is how long QEMU's threads were ready to run and had no CPU, at most
// of any thread. Zero where the host does not tell.
func (p *process) starved() time.Duration { return starvation(p.cmd.Process.Pid) }

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
