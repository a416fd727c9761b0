package qemu

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
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
	log     runners.Console
	phases  *phaseLog
	voice   *voice
	stalls  *stalls
	quiet   time.Duration // how long its agent may be silent
	hold    bool          // the agent's channel reaches the firmware: silence until the kernel speaks
	kernel  string        // path of the kernel, as people know it; empty: on the disk

	handed   handover
	links    links
	state    int // QEMU's descriptor of the state that a clone takes
	console  net.Conn
	ear      *ear
	lines    []*line        // the console first
	reading  sync.WaitGroup // until the console has said its last
	stopOnce sync.Once
	stopped  chan struct{}
	done     chan struct{}
	end      ending // QEMU's word on the guest's end; set before done is closed
	killed   bool   // stop came first; set before done is closed
	overOnce sync.Once
	over     error // why this process ended it, of itself; set before stop
}

// startVM starts QEMU with the guest's CPUs stopped. The console goes to log. An
// empty dir: it has no folder yet.
// ctx bounds the start only.
func startVM(ctx context.Context, o Options, from substance, dir string, log runners.Console, logger *slog.Logger) (*vm, error) {
	f, err := openFolder(dir)
	if err != nil {
		return nil, err
	}
	v := &vm{
		folder: f, log: log, phases: newPhaseLog(), stalls: &stalls{log: logger}, kernel: o.Kernel, hold: o.fromDisk() && o.Serial && !o.Clone,
		stopped: make(chan struct{}), done: make(chan struct{}),
	}
	v.links = links{log: logger, floods: v.wireFloods}
	v.quiet = cmp.Or(o.silence, silence)
	if o.silence == 0 && o.Accel != "kvm" {
		v.quiet *= 2
	}
	v.voice = &voice{to: io.MultiWriter(log, v.phases)}
	if err := v.start(ctx, o, from, v.voice); err != nil {
		v.discard()
		v.unplug()
		if v.control != nil {
			v.control.Close()
		}
		return nil, err
	}
	go v.supervise()
	return v, nil
}

// start starts QEMU with its three connections and waits for its greeting. The
// wait ends when QEMU does, and QEMU ends with ctx.
func (v *vm) start(ctx context.Context, o Options, from substance, said io.Writer) error {
	user, err := unprivileged()
	if err != nil {
		return err
	}
	defer v.handed.close()
	if err := v.handed.images(&o, user); err != nil {
		return &runners.InfraError{Op: "open image", Err: err}
	}
	if v.state, err = v.handed.substance(&o, from); err != nil {
		return &runners.InfraError{Op: "open template", Err: err}
	}
	if err := v.connect(&o); err != nil {
		return &runners.InfraError{Op: "connect to qemu", Err: err}
	}
	if err := v.links.open(ctx, &o, &v.handed, user); err != nil {
		return &runners.InfraError{Op: "attach the machine", Err: err}
	}
	console := &line{name: consoleID, conn: v.console}
	if v.ear, err = newEar(v.console, io.MultiWriter(said, &console.tape), o.flow, v.floods); err != nil {
		return &runners.InfraError{Op: "connect to qemu", Err: err}
	}
	console.ear, v.lines = v.ear, []*line{console}
	if err = v.openLines(&o); err != nil {
		return &runners.InfraError{Op: "connect to qemu", Err: err}
	}
	if v.proc, err = startProcess(o.Cmdline(), user.credential(o.Accel), o.fence, o.limits(v.handed.largest()), v.handed.files...); err != nil {
		return &runners.InfraError{Op: "start " + o.Binary, Err: err}
	}
	if o.idle {
		v.proc.lower()
	}
	v.handed.close()           // QEMU's end shows as the end of what it holds alone
	v.reading.Go(v.ear.listen) // ends with QEMU
	ctx, cancel := context.WithTimeoutCause(ctx, startTime, errSlowStart)
	defer cancel()
	unhook := context.AfterFunc(ctx, v.proc.kill)
	defer unhook()
	if err := v.monitor.greet(); err != nil {
		return v.startError(ctx, user, err)
	}
	return nil
}

// connect makes the three connections before QEMU runs. The monitor's needs a
// socket with a name, for the library wants to dial; it has one only here.
func (v *vm) connect(o *Options) (err error) {
	if v.console, o.handed.console, err = v.handed.pair(consoleID); err != nil {
		return err
	}
	if v.control, o.handed.control, err = v.handed.pair(controlID); err != nil {
		return err
	}
	far, err := v.folder.call(socket{id: monitorID}.name(), func(address string) (err error) {
		v.monitor, err = dialMonitor(address)
		return err
	})
	if err != nil {
		return err
	}
	o.handed.monitor = v.handed.add(far)
	return nil
}

// startError says why QEMU did not come up; err is only how that was noticed.
func (v *vm) startError(ctx context.Context, user *account, err error) error {
	v.proc.kill()
	if cause := context.Cause(ctx); errors.Is(cause, errSlowStart) {
		err = cause
	} else if cause != nil {
		return fmt.Errorf("start %s: %w", v.proc.binary, cause)
	}
	if said := v.complaint(); said != "" {
		err = errors.New(aboutKernel(said, v.kernel))
	}
	infra := &runners.InfraError{Op: "start " + v.proc.binary, Err: err}
	if v.proc.forbidden() && user != nil {
		infra.Hint = "headwatch is root, so QEMU runs as " + user.name + ": let it, or run headwatch as an ordinary user"
	}
	return infra
}

// aboutKernel names the kernel's file in a complaint of QEMU's about a kernel that
// does not.
func aboutKernel(said, path string) string {
	if path == "" || strings.Contains(said, path) || !strings.Contains(strings.ToLower(said), "kernel") {
		return said
	}
	return path + ": " + said
}

// complaint is QEMU's last message, empty when it said nothing.
func (v *vm) complaint() string { return v.handed.translate(v.proc.complaint()) }

func notInstalled(binary string, err error) error {
	return &runners.InfraError{
		Op: "find " + binary, Err: err,
		Hint: "run make setup, or install your system's QEMU package (qemu-system-x86)",
	}
}

// stop asks for the end. Whoever needs it waits for done.
func (v *vm) stop() { v.stopOnce.Do(func() { close(v.stopped) }) }

// giveUp ends the machine for a reason, of which the first counts.
func (v *vm) giveUp(why error) {
	v.overOnce.Do(func() {
		select {
		case <-v.stopped: // somebody wanted its end before
		default:
			v.over = why
		}
	})
	v.stop()
}

// supervise owns the end of the machine.
func (v *vm) supervise() {
	defer close(v.done)
	v.observe()
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
	v.crashes() // the last ones are judged by what the host did then
	v.discard()
	v.end = v.monitor.end
}

// observe watches what the host gives QEMU until something ends the machine.
func (v *vm) observe() {
	tick := time.NewTicker(sampleEvery)
	defer tick.Stop()
	for {
		select {
		case now := <-tick.C:
			v.stalls.note(now, v.proc.starved())
			v.crashes()
		case <-v.monitor.ended:
			return
		case <-v.proc.done:
			return
		case <-v.stopped:
			return
		}
	}
}

// crashes are what the console shows by now, the kernel's apart from stalls that
// are the host's doing.
func (v *vm) crashes() (kernels, hosts []runners.Crash) {
	v.ear.catchUp()
	return v.stalls.split(v.log.Crashes())
}

// unplug closes the host's ends of the wires. What the guest sent can be read until
// then.
func (v *vm) unplug() {
	for _, w := range v.links.wires {
		if w != nil {
			w.Close()
		}
	}
}

// run lets the guest run from power-on.
func (v *vm) run(ctx context.Context) error { return v.monitor.run(ctx, "cont") }

// discard ends and closes whatever there is, but for the agent's connection and
// the wires.
func (v *vm) discard() {
	if v.proc != nil {
		v.proc.kill()
	}
	if v.monitor != nil {
		v.monitor.close()
	}
	for _, l := range v.lines {
		l.free()
	}
	v.reading.Wait()
	if v.console != nil {
		v.console.Close()
	}
	v.links.close() // after QEMU's end
	v.folder.Close()
}

// phaseLog follows the boot's phases; safe for concurrent use.
type phaseLog struct {
	kernel chan struct{} // closed when the kernel speaks
	mu     sync.Mutex
	phases console.Phases
	news   *console.News // of a boot; nil: it is over, or there is none
	spoke  bool          // kernel is closed
}

func newPhaseLog() *phaseLog { return &phaseLog{kernel: make(chan struct{})} }

func (p *phaseLog) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	n, err := p.phases.Write(b)
	if p.news != nil {
		p.news.Write(b)
	}
	if !p.spoke && p.phases.Last() >= console.Kernel {
		p.spoke = true
		close(p.kernel)
	}
	return n, err
}

func (p *phaseLog) last() console.Phase {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.phases.Last()
}

// follow counts what is new from here on; nothing is counted twice.
func (p *phaseLog) follow(boots bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.news = nil
	if boots {
		p.news = console.NewNews()
	}
}

// progress is the last phase, and how much that was new was said while it was followed.
func (p *phaseLog) progress() (console.Phase, int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.news == nil {
		return p.phases.Last(), 0
	}
	return p.phases.Last(), p.news.Count()
}
