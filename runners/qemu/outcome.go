package qemu

import (
	"errors"
	"fmt"
	"time"

	"github.com/headwatch/headwatch/runners"
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

// refusal is a finding about the kernel that a machine, not an operation, made.
type refusal struct{ reason string }

func (r *refusal) Error() string         { return r.reason }
func (r *refusal) KernelRefused() string { return r.reason }

// aftermath is what is known once a machine is over.
type aftermath struct {
	exit      runners.Exit
	end       ending
	panic     string // title of the first fatal crash on the console
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

// bootFailure is the error of a boot that did not reach the agent. phase is the
// title of the last phase reached, waited how long the guest ran, timedOut
// whether that was too long.
func (a aftermath) bootFailure(phase string, waited time.Duration, timedOut bool) error {
	secs := waited.Round(100 * time.Millisecond)
	title := a.panic
	if title == "" {
		title = phase
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
	case a.exit == runners.ExitGuest:
		return &runners.BootError{Title: title, Reason: fmt.Sprintf("%s %v after power-on, before the agent answered%s", a.end, secs, a.silence()), Panicked: true}
	case timedOut:
		return &runners.BootError{Title: title, Reason: fmt.Sprintf("no answer from the agent within %v%s", secs, a.silence()), Panicked: a.panic != ""}
	case a.exit == runners.ExitMonitor:
		return &runners.InfraError{Op: "run qemu", Err: a.monitorError()}
	case a.stream != nil:
		return &runners.InfraError{Op: "boot", Err: a.stream}
	}
	return &runners.InfraError{Op: "boot", Err: errors.New("machine is closed")}
}
