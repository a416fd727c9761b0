package orchestrator

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/headwatch/headwatch/orchestrator/pipeline"
	"github.com/headwatch/headwatch/runners"
	"github.com/headwatch/headwatch/suites"
)

// RunConsole is the console of a run, of which each of its machines has a part.
type RunConsole interface {
	runners.Console
	// Part begins the next machine's part, under a line that says what it is.
	Part(title string) runners.MachineConsole
}

// Execution is one suite on one boot of an image: each case on a machine of its own
// that descends from it. It stores nothing by itself: results go to Record as they
// come.
type Execution struct {
	Builder runners.Builder
	Runner  runners.Runner
	Cases   []suites.Case
	Image   string
	Commit  string // told to the machine; empty: none
	Ordinal int    // which of several cold boots it is
	Suite   string
	Seed    uint64
	Dir     string // scratch; made and removed
	Console RunConsole
	Record  func(suites.Result) error
	// Keep takes the template when the run is over, and closes it some time later.
	// Nil: it is closed at once.
	Keep func(runners.Template)
	// Artifacts takes the files of the cases. Nil: none are kept.
	Artifacts *Keeper
}

// bootShare is the part of a run's time limit that booting may take.
const bootShare = 2

// Do boots the machine and runs the cases in order, the case "boot" first. It
// fills in what the boot told of itself. The status sums up the results; an error
// is the rig's fault. A boot that an earlier run has made and told of is used and not
// told again: it is one draw of what a boot decides.
func (e Execution) Do(ctx context.Context, m pipeline.Machine, limit time.Duration, r *Run) (suites.Status, error) {
	if limit > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, limit)
		defer cancel()
	}
	defer os.RemoveAll(e.Dir)
	if err := os.RemoveAll(e.Dir); err != nil {
		return suites.Broken, err
	}
	room, err := e.room(CaseBoot)
	if err != nil {
		return suites.Broken, err
	}
	bootable, err := e.Builder.Open(ctx, e.Image, filepath.Join(e.Dir, "image"))
	if err != nil {
		return suites.Broken, err
	}
	var results []suites.Status
	note := func(res suites.Result) error {
		results = append(results, res.Status)
		return e.Record(res)
	}
	began := time.Now()
	s := Spec(m)
	console := e.Console.Part(CaseBoot)
	s.Commit, s.Ordinal, s.Dir, s.ConsoleLog, s.BootTimeout = e.Commit, e.Ordinal, room, console, limit/bootShare
	b, err := e.boot(ctx, bootable, s, console)
	if err != nil {
		return e.noBoot(suites.Result{Case: CaseBoot, Duration: time.Since(began)}, err, note, &results)
	}
	defer b.end(e.Keep)
	f := b.facts
	r.BootID, r.Kernel, r.Accel, r.Monitor, r.BootTime, r.Command = f.BootID, f.Kernel, f.Accel, f.Monitor, f.BootTime, f.Command
	if !f.Booted.Before(began) {
		if err := note(suites.Result{Case: CaseBoot, Status: suites.Passed, Duration: f.BootTime, Metrics: map[string]float64{"boot_s": f.BootTime.Seconds()}}); err != nil {
			return suites.Broken, err
		}
	}
	has := offered(m, f)
	for _, c := range e.Cases {
		if err := note(e.one(ctx, b, c, has, note)); err != nil {
			return suites.Broken, err
		}
	}
	return suites.Summarize(results), nil
}

// room makes a folder for a machine.
func (e Execution) room(name string) (string, error) {
	dir := filepath.Join(e.Dir, "machine-"+name)
	return dir, os.MkdirAll(dir, 0o755)
}

// booted is what the machines of a run descend from.
type booted struct {
	os       string
	template runners.Template
	facts    runners.Facts // of the cold boot
	crashes  []string      // that it showed
	layouts  []byte        // of the kernel's structures; nil: not known
	// first is the machine that was booted, where there are no clones; nil once a case
	// has it.
	first   runners.Machine
	console runners.MachineConsole // first's
}

// boot makes the template, or boots the first machine where there can be none.
func (e Execution) boot(ctx context.Context, bootable runners.Bootable, s runners.Spec, console runners.MachineConsole) (*booted, error) {
	layouts, err := layoutsOf(bootable)
	if err != nil {
		return nil, err
	}
	t, err := e.Runner.Template(ctx, bootable, s)
	if err != nil {
		return nil, err
	}
	b := &booted{os: bootable.Image.OS, template: t, facts: t.Facts(), layouts: layouts}
	if b.facts.BootID == "" {
		b.first, err = t.Start(ctx, runners.Start{Dir: s.Dir, ConsoleLog: console, Seed: e.Seed})
		if err != nil {
			return nil, errors.Join(err, t.Close())
		}
		b.facts, b.console = b.first.Facts(), console
		return b, nil
	}
	for _, c := range console.Crashes() {
		if !c.Stall { // the host's, or the boot would have failed
			b.crashes = append(b.crashes, c.Title)
		}
	}
	return b, nil
}

// maxLayouts bounds the document of a kernel's structures, in bytes; FreeBSD's has some
// ten thousand.
const maxLayouts = 16 << 20

// layoutsOf reads what an image knows of its kernel's structures; nil: nothing.
func layoutsOf(b runners.Bootable) ([]byte, error) {
	if b.Layouts == "" {
		return nil, nil
	}
	f, err := os.Open(b.Layouts)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	doc, err := io.ReadAll(io.LimitReader(f, maxLayouts+1))
	if err == nil && len(doc) > maxLayouts {
		err = fmt.Errorf("%s: layouts of more than %d bytes", b.Layouts, maxLayouts)
	}
	return doc, err
}

// end gives the template up.
func (b *booted) end(keep func(runners.Template)) {
	if b.first != nil {
		b.first.Close()
	}
	if keep == nil {
		b.template.Close()
		return
	}
	keep(b.template)
}

// machine starts a case's machine, with a console of its own.
func (e Execution) machine(ctx context.Context, b *booted, name string) (runners.Machine, runners.MachineConsole, error) {
	if m := b.first; m != nil {
		b.first = nil
		return m, b.console, nil
	}
	room, err := e.room(name)
	if err != nil {
		return nil, nil, err
	}
	console := e.Console.Part(e.Suite + "/" + name)
	m, err := b.template.Start(ctx, runners.Start{Dir: room, ConsoleLog: console, Seed: random(e.Seed, "machine "+name).Uint64() | 1})
	return m, console, err
}

// noBoot records a boot that failed. The kernel's fault is a failed "boot", and
// every other case could not be run; the rig's is no evidence about anything.
func (e Execution) noBoot(boot suites.Result, err error, note func(suites.Result) error, results *[]suites.Status) (suites.Status, error) {
	bad, kernels := errors.AsType[*runners.BootError](err)
	if !kernels {
		return suites.Broken, err
	}
	boot.Status, boot.Reason = suites.Failed, bad.Error()
	if err := note(boot); err != nil {
		return suites.Broken, err
	}
	for _, c := range e.Cases {
		if err := note(suites.Result{Case: e.Suite + "/" + c.Name, Status: suites.Skipped, Reason: "the kernel did not boot"}); err != nil {
			return suites.Broken, err
		}
	}
	return suites.Summarize(*results), nil
}

// notStarted is the result of a case whose machine did not come up.
func notStarted(res suites.Result, err error) suites.Result {
	res.Status, res.Reason = suites.Broken, fmt.Sprintf("its machine did not start: %v", err)
	if bad, ok := errors.AsType[*runners.BootError](err); ok {
		res.Status, res.Reason = suites.Failed, bad.Error()
	}
	return res
}

// endedIn says what the end of a guest means for the case in which it happened. A
// guest that ends by itself and unasked is the kernel's fault, unless its agent or
// its host made it end; that, and a monitor that dies, are ours.
func endedIn(m runners.Machine, res suites.Result) suites.Result {
	if exit, err := m.Close(); exit == runners.ExitGuest && err == nil && res.Status == suites.Broken {
		res.Status, res.Reason = suites.Failed, "the guest reset or shut down by itself"
	}
	return res
}

func gone(m runners.Machine) bool {
	select {
	case <-m.Done():
		return true
	default:
		return false
	}
}
