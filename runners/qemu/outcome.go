package qemu

import (
	"errors"
	"fmt"
	"time"

	"github.com/headwatch/headwatch/runners"
	"github.com/headwatch/headwatch/runners/console"
)

// exitOf decides how a machine ended. QEMU's exit code is no evidence: it is 0
// after a panic too.
func exitOf(end ending, marker, killed bool) runners.Exit {
	switch {
	case end.event == "SHUTDOWN" && end.guest && end.reason == "guest-shutdown" && marker:
		return runners.ExitPowerOff
	case end.event == "GUEST_PANICKED", end.event != "" && end.guest:
		return runners.ExitGuest
	case killed:
		return runners.ExitKilled
	}
	return runners.ExitMonitor
}

// String says what the guest did, as QEMU saw it.
func (e ending) String() string {
	if e.event == "GUEST_PANICKED" {
		return "guest reported a panic"
	}
	return "guest ended by itself (" + e.reason + ")"
}

// reset says that the guest wanted to begin again.
func (e ending) reset() bool { return e.event == "SHUTDOWN" && e.guest && e.reason == "guest-reset" }

// title is what a boot is called that ended so in a phase.
func (e ending) title(p console.Phase) string {
	switch {
	case e.reset():
		return "reset " + p.Where()
	case e.event == "SHUTDOWN" && e.guest:
		return "power-off " + p.Where()
	}
	return p.Title()
}

// resetError is a boot that ended in a reset of which the console says nothing.
type resetError struct {
	boot  *runners.BootError
	phase console.Phase
}

func (e *resetError) Error() string { return e.boot.Error() }
func (e *resetError) Unwrap() error { return e.boot }

// refusal is a finding about the kernel that a machine, not an operation, made.
type refusal struct{ reason string }

func (r *refusal) Error() string         { return r.reason }
func (r *refusal) KernelRefused() string { return r.reason }

// aftermath is what is known once a machine is over.
type aftermath struct {
	exit      runners.Exit
	end       ending
	panic     string // title of the first fatal crash on the console
	hung      bool   // that crash is what the rig found when it asked a guest that hangs
	stall     string // title of the first fatal report of a stall that the host made
	mute      string // path of a kernel that never said a word; empty: it did, or is on a disk
	over      error  // why the rig ended it of itself; nil: it did not
	agent     string // last words of an agent that died by its own fault
	stream    error  // why the agent's stream ended, nil for a clean end
	complaint string // QEMU's last message
}

// loss is the error of an operation on a machine that is over. It is the
// kernel's fault only when a witness says so.
func (a aftermath) loss() error {
	switch {
	case a.exit == runners.ExitPowerOff:
		return errors.New("machine has powered off")
	case a.over != nil:
		return a.over
	case a.agent != "":
		return fmt.Errorf("agent died: %s", a.agent)
	case a.panic != "":
		return &refusal{a.panic}
	case a.stall != "":
		return a.starvation()
	case a.exit == runners.ExitGuest:
		return &refusal{a.end.String() + ", and the console says nothing of it"}
	case a.exit == runners.ExitMonitor:
		return &runners.InfraError{Op: "run qemu", Err: a.monitorError()}
	}
	return errors.New("machine is closed")
}

// silence names a kernel that said nothing: its file may be none.
func (a aftermath) silence() string {
	if a.mute == "" {
		return ""
	}
	return ", and no word from the kernel " + a.mute
}

// rigs says that the guest ended by itself and the rig is to blame.
func (a aftermath) rigs() bool { return a.agent != "" || a.panic == "" && a.stall != "" }

func (a aftermath) starvation() error {
	return &runners.InfraError{
		Op: "run qemu", Err: fmt.Errorf("the host gave it too little CPU, and the kernel gave up: %s", a.stall),
		Hint: "run fewer machines at once",
	}
}

func (a aftermath) monitorError() error {
	switch {
	case a.complaint != "":
		return errors.New(a.complaint)
	case a.end.event == "STOP":
		return errors.New("it stopped the guest by itself (internal or I/O error)")
	case a.end.event != "":
		return fmt.Errorf("it was told to end (%s)", a.end.reason)
	}
	return errors.New("it died without a word")
}

// bootFailure is the error of a boot that did not reach the agent. phase is the last
// one that was reached, waited how long the guest ran, why what it was given up for;
// empty: it was not.
func (a aftermath) bootFailure(phase console.Phase, waited time.Duration, why string) error {
	secs := waited.Round(100 * time.Millisecond)
	title := a.panic
	if title == "" {
		title = a.end.title(phase)
	}
	flood, kernels := errors.AsType[*consoleFlood](a.over)
	switch {
	case kernels:
		return &runners.BootError{Title: flood.Title(), Reason: fmt.Sprintf("%v; ended %v after power-on", flood, secs)}
	case a.over != nil:
		return a.over
	case a.agent != "":
		return &runners.InfraError{Op: "boot", Err: fmt.Errorf("agent died: %s", a.agent), Hint: "the console has its trace"}
	case a.panic == "" && a.stall != "":
		return a.starvation()
	case why != "": // before what it did when it was asked
		return &runners.BootError{Title: title, Reason: fmt.Sprintf("%s, %v after power-on%s", why, secs, a.silence()), Panicked: a.panic != "" && !a.hung}
	case a.exit == runners.ExitGuest:
		boot := &runners.BootError{Title: title, Reason: fmt.Sprintf("%s %v after power-on, before the agent answered%s", a.end, secs, a.silence()), Panicked: true}
		if a.panic == "" && a.end.reset() {
			return &resetError{boot, phase}
		}
		return boot
	case a.exit == runners.ExitMonitor:
		return &runners.InfraError{Op: "run qemu", Err: a.monitorError()}
	case a.stream != nil:
		return &runners.InfraError{Op: "boot", Err: a.stream}
	}
	return &runners.InfraError{Op: "boot", Err: errors.New("machine is closed")}
}
