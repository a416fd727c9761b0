package qemu

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"time"

	"github.com/headwatch/headwatch/runners"
	"github.com/headwatch/headwatch/runners/console"
	"github.com/headwatch/headwatch/runners/guest"
)

const (
	// silence is how long the agent may send nothing, heartbeats included, until the
	// guest is said to hang; twice that under emulation, where CPUs take turns more
	// slowly. Time for which the host let QEMU starve does not count.
	silence = 15 * time.Second
	// streamGrace is how long QEMU may take to report what ended the stream.
	streamGrace = 15 * time.Second
	// offGrace is how long a kernel may take from the end marker to power-off.
	offGrace = 60 * time.Second
	// lastWords is how much of the console is searched for an agent's death.
	lastWords = 64 << 10
)

// machine is a booted guest. It implements runners.Machine.
type machine struct {
	os     string
	cpus   int
	ahead  bool // its time runs ahead of the host's
	facts  runners.Facts
	vm     *vm
	client *guest.Client
	hunger hunger

	// life ends when calls cannot be answered any more; its cause says why.
	life context.Context
	lose context.CancelCauseFunc

	parked atomic.Bool  // its guest is stopped, and so is its heart
	since  atomic.Int64 // when it was last let go on, in nanoseconds since 1970; 0: never stopped

	done  chan struct{}
	exit  runners.Exit // set before done is closed
	after aftermath    // set before done is closed
}

func (m *machine) OS() string            { return m.os }
func (m *machine) CPUs() int             { return m.cpus }
func (m *machine) Facts() runners.Facts  { return m.facts }
func (m *machine) Done() <-chan struct{} { return m.done }

// Wire is the host's end of NIC i's cable, nil when it has none.
func (m *machine) Wire(i int) net.Conn { return m.vm.links.wire(i) }

// MACs are those of its NICs, in their order.
func (m *machine) MACs() []string { return m.facts.MACs }

// Starved is for how long QEMU's threads were ready to run and had no CPU, at most
// of any thread, since QEMU started.
func (m *machine) Starved() time.Duration { return m.hunger.note(m.vm.proc.starved()) }

// Crashes lists the titles of the crashes on the console, warnings included.
// Reports that something stalled are left out when the host did it, by giving
// QEMU no CPU; the runner's log has them.
func (m *machine) Crashes() []string {
	var titles []string
	kernels, _ := m.vm.crashes()
	for _, c := range kernels {
		titles = append(titles, c.Title)
	}
	return titles
}

// Call performs one operation of the agent. When the machine is lost, the error
// says which witness said so; it has KernelRefused when the kernel did it.
func (m *machine) Call(ctx context.Context, op string, args, result any) error {
	alive, release := m.whileAlive(ctx)
	defer release()
	err := m.client.Call(alive, op, args, result)
	return m.explain(ctx, op, err)
}

// whileAlive bounds ctx by the machine's life. An agent whose time runs ahead is told
// no deadline, which it would reach at once; it is told when ctx is over.
func (m *machine) whileAlive(ctx context.Context) (context.Context, func()) {
	over := func() bool { return false }
	within := ctx
	if m.ahead {
		within = context.WithoutCancel(ctx)
	}
	within, cancel := context.WithCancelCause(within)
	if m.ahead {
		over = context.AfterFunc(ctx, func() { cancel(context.Cause(ctx)) })
	}
	unhook := context.AfterFunc(m.life, func() { cancel(context.Cause(m.life)) })
	return within, func() { unhook(); over(); cancel(nil) }
}

// explain waits, when the stream is lost, for the reason that lies behind it.
func (m *machine) explain(ctx context.Context, op string, err error) error {
	if !errors.Is(err, guest.ErrClosed) {
		return err
	}
	select {
	case <-m.life.Done(): // within streamGrace or offGrace: watch sees to it
		return fmt.Errorf("%s: %w", op, context.Cause(m.life))
	case <-ctx.Done():
		return fmt.Errorf("%w (%w)", err, context.Cause(ctx))
	}
}

// PowerOff asks the agent for a clean power-off and waits for it.
func (m *machine) PowerOff(ctx context.Context) error {
	alive, release := m.whileAlive(ctx)
	defer release()
	if err := m.client.PowerOff(alive); err != nil {
		return m.explain(ctx, "power off", err)
	}
	select {
	case <-m.done:
	case <-ctx.Done():
		return fmt.Errorf("power off: %w", context.Cause(ctx))
	}
	switch m.exit {
	case runners.ExitPowerOff:
		return nil
	case runners.ExitGuest:
		return fmt.Errorf("power off: %w", m.after.loss())
	case runners.ExitKilled:
		if m.after.panic != "" {
			return fmt.Errorf("power off: %w", &refusal{m.after.panic})
		}
		if errors.Is(context.Cause(m.life), errStillOn) {
			return fmt.Errorf("power off: %w", &refusal{fmt.Sprintf("still on %v after the end marker", offGrace)})
		}
	}
	return fmt.Errorf("power off: %w", m.after.loss())
}

// errStillOn is the loss of a machine that did not power off after its marker.
var errStillOn = errors.New("guest sent its end marker and did not power off")

// Close ends the machine if it still runs and waits for all of it. The error
// says what went wrong with the rig: a guest that ended by the fault of its agent
// or its host has one.
func (m *machine) Close() (runners.Exit, error) {
	m.vm.stop()
	<-m.done
	m.vm.unplug()
	if m.exit == runners.ExitMonitor || m.exit == runners.ExitGuest && m.after.rigs() {
		return m.exit, m.after.loss()
	}
	return m.exit, nil
}

// watch owns the machine until nothing of it is left.
func (m *machine) watch() {
	defer close(m.done)
	m.attend()
	<-m.vm.done
	// QEMU is gone, so the stream ends as soon as the last bytes are read.
	select {
	case <-m.client.Done():
	case <-time.After(quitGrace):
	}
	marker, stream := m.client.Ended(), m.client.Err()
	m.client.Close()
	m.exit = exitOf(m.vm.end, marker, m.vm.killed)
	m.after = summarize(m.vm, m.exit, stream)
	m.lose(m.after.loss())
}

// attend watches the stream and the heartbeat while QEMU runs.
func (m *machine) attend() {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	gone, pulse := m.client.Done(), pulse{}
	var grace <-chan time.Time
	for {
		select {
		case <-m.vm.done:
			return
		case <-gone:
			gone = nil
			grace = time.After(streamGrace)
			if m.client.Ended() {
				grace = time.After(offGrace)
			}
		case <-grace:
			// The stream ended long ago and QEMU still runs.
			if m.client.Ended() {
				m.lose(errStillOn)
			} else {
				m.lose(fmt.Errorf("agent is lost while QEMU runs: %w", m.client.Err()))
			}
			m.vm.stop()
			<-m.vm.done
			return
		case <-tick.C:
			if gone == nil || m.parked.Load() {
				continue
			}
			if quiet := pulse.quiet(m.heartbeat(), time.Now(), m.vm.proc.starved()); quiet > m.vm.quiet {
				m.hangs(quiet)
				return
			}
		}
	}
}

// heartbeat is when the agent was last heard, or could not yet be.
func (m *machine) heartbeat() time.Time {
	heard, since := m.client.Heartbeat(), time.Unix(0, m.since.Load())
	if heard.Before(since) {
		return since
	}
	return heard
}

// park stops the guest.
func (m *machine) park(ctx context.Context) error {
	m.parked.Store(true)
	return m.vm.monitor.pause(ctx)
}

// unpark lets it go on.
func (m *machine) unpark(ctx context.Context) error {
	m.since.Store(time.Now().UnixNano())
	m.parked.Store(false)
	return m.vm.monitor.resume(ctx)
}

// hangs deals with a guest whose agent is silent though the host gave it CPU: it is
// asked why, as far as a kernel can be asked that does not answer, and ended.
func (m *machine) hangs(quiet time.Duration) {
	asking, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() { // a Close need not wait
		select {
		case <-m.vm.stopped:
		case <-m.vm.proc.done:
		case <-asking.Done():
		}
		cancel()
	}()
	if err := m.vm.monitor.alive(asking); err != nil {
		m.lose(&runners.InfraError{Op: "run qemu", Err: fmt.Errorf("it answers neither for its guest nor for itself: %w", err)})
		m.vm.stop()
		<-m.vm.done
		return
	}
	m.vm.investigate(asking, "no heartbeat; the agent has been silent for "+quiet.Round(time.Second).String(), byInterrupt)
	title := "no heartbeat"
	for _, c := range m.vm.log.Crashes() {
		if c.Kind == runners.KindHang && c.Fatal {
			title = c.Title
		}
	}
	m.lose(&refusal{title})
	m.vm.stop()
	<-m.vm.done
}

// pulse tells how long a guest has been quiet that had the chance to speak.
type pulse struct {
	last    time.Time
	starved time.Duration // when last was first seen
}

func (p *pulse) quiet(heard, now time.Time, starved time.Duration) time.Duration {
	if !heard.Equal(p.last) {
		p.last, p.starved = heard, starved
	}
	return now.Sub(heard) - (starved - p.starved)
}

// summarize gathers the witnesses of a machine that is over.
func summarize(v *vm, exit runners.Exit, stream error) aftermath {
	a := aftermath{exit: exit, end: v.end, stream: stream, complaint: v.complaint(), over: v.over}
	kernels, hosts := v.crashes()
	a.panic, a.stall = firstFatal(kernels), firstFatal(hosts)
	a.hung = strings.HasPrefix(a.panic, console.HangTitle)
	said := v.log.Tail(lastWords)
	if a.agent = console.AgentDeath(said); a.agent == "" && a.panic == "" {
		a.agent = console.AgentEnd(said)
	}
	return a
}

// firstFatal is the title of the first crash with which the kernel could not go
// on; empty: there is none.
func firstFatal(crashes []runners.Crash) string {
	for _, c := range crashes {
		if c.Fatal {
			return c.Title
		}
	}
	return ""
}
