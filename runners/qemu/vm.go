package qemu

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os/exec"
	"sync"
	"time"

	"github.com/headwatch/headwatch/runners"
	"github.com/headwatch/headwatch/runners/console"
)

// startTime bounds how long QEMU may take until its monitor answers.
const startTime = 30 * time.Second

var errSlowStart = fmt.Errorf("not up within %v", startTime)

// quitGrace is how long QEMU may take to end once the guest has.
const quitGrace = 2 * time.Second

// vm is a running QEMU with its sockets. It ends with the guest, with QEMU or
// with stop; done is closed when nothing of it is left.
type vm struct {
	folder  *folder
	proc    *process
	monitor *monitor
	control net.Conn // whoever speaks with the agent closes it
	phases  *phaseLog

	console  net.Conn
	drained  chan struct{} // closed when the console has said its last
	stopOnce sync.Once
	stopped  chan struct{}
	done     chan struct{}
	end      ending // QEMU's word on the guest's end; set before done is closed
	killed   bool   // stop came first; set before done is closed
}

// startVM starts QEMU with the guest's CPUs stopped. The console goes to log.
// ctx bounds the start only.
func startVM(ctx context.Context, o Options, dir string, log io.Writer) (*vm, error) {
	f, err := openFolder(dir)
	if err != nil {
		return nil, err
	}
	v := &vm{folder: f, phases: &phaseLog{}, drained: make(chan struct{}), stopped: make(chan struct{}), done: make(chan struct{})}
	if err := v.connect(ctx, o, dir); err != nil {
		v.discard()
		return nil, err
	}
	go func() {
		defer close(v.drained)
		io.Copy(io.MultiWriter(log, v.phases), v.console) // ends with QEMU, and neither writer fails
	}()
	go v.supervise()
	return v, nil
}

// connect starts QEMU and takes its three connections. Every wait in it ends
// when QEMU does, and QEMU ends with ctx.
func (v *vm) connect(ctx context.Context, o Options, dir string) error {
	consoles, err := v.folder.listen(socket{id: consoleID}.name())
	if err != nil {
		return err
	}
	defer consoles.Close()
	controls, err := v.folder.listen(socket{id: controlID}.name())
	if err != nil {
		return err
	}
	defer controls.Close()
	if err := v.folder.remove(socket{id: monitorID}.name()); err != nil {
		return err
	}
	if v.proc, err = startProcess(o.Cmdline(), dir); err != nil {
		if errors.Is(err, exec.ErrNotFound) {
			return notInstalled(o.Binary, err)
		}
		return &runners.InfraError{Op: "start " + o.Binary, Err: err}
	}
	ctx, cancel := context.WithTimeoutCause(ctx, startTime, errSlowStart)
	defer cancel()
	var watch sync.WaitGroup
	defer watch.Wait()
	connected := make(chan struct{})
	defer close(connected)
	watch.Go(func() {
		select {
		case <-ctx.Done():
			v.proc.kill()
		case <-v.proc.done:
		case <-connected:
			return
		}
		consoles.Close()
		controls.Close()
	})
	if v.console, err = consoles.Accept(); err != nil {
		return v.startError(ctx, err)
	}
	if v.control, err = controls.Accept(); err != nil {
		return v.startError(ctx, err)
	}
	if v.monitor, err = dialMonitor(v.folder.short(socket{id: monitorID}.name())); err != nil {
		return v.startError(ctx, err)
	}
	return nil
}

// startError says why QEMU did not come up; err is only how that was noticed.
func (v *vm) startError(ctx context.Context, err error) error {
	v.proc.kill()
	if cause := context.Cause(ctx); errors.Is(cause, errSlowStart) {
		err = cause
	} else if cause != nil {
		return fmt.Errorf("start %s: %w", v.proc.cmd.Path, cause)
	}
	if said := v.proc.complaint(); said != "" {
		err = errors.New(said)
	}
	return &runners.InfraError{Op: "start " + v.proc.cmd.Path, Err: err}
}

func notInstalled(binary string, err error) error {
	return &runners.InfraError{
		Op: "find " + binary, Err: err,
		Hint: "run make setup, or install your system's QEMU package (qemu-system-x86)",
	}
}

// stop asks for the end. Whoever needs it waits for done.
func (v *vm) stop() { v.stopOnce.Do(func() { close(v.stopped) }) }

// supervise owns the end of the machine.
func (v *vm) supervise() {
	defer close(v.done)
	select {
	case <-v.monitor.ended:
		// The guest is paused: QEMU hands out what the console still holds and goes.
		ctx, cancel := context.WithTimeout(context.Background(), quitGrace)
		v.monitor.run(ctx, "quit") // it may go before it answers; if not, it is killed
		select {
		case <-v.proc.done:
		case <-ctx.Done():
		}
		cancel()
	case <-v.proc.done:
	case <-v.stopped:
		v.killed = true
	}
	v.discard()
	v.end = v.monitor.end
}

// discard ends and closes whatever there is.
func (v *vm) discard() {
	if v.proc != nil {
		v.proc.kill()
	}
	if v.monitor != nil {
		v.monitor.close()
		<-v.drained
	} else if v.control != nil {
		v.control.Close()
	}
	if v.console != nil {
		v.console.Close()
	}
	v.folder.remove(socket{id: monitorID}.name())
	v.folder.Close()
}

// phaseLog follows the boot's phases; safe for concurrent use.
type phaseLog struct {
	mu     sync.Mutex
	phases console.Phases
}

func (p *phaseLog) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.phases.Write(b)
}

func (p *phaseLog) last() console.Phase {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.phases.Last()
}
