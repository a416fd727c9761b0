package orchestrator

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/headwatch/headwatch/orchestrator/pipeline"
	"github.com/headwatch/headwatch/runners"
	"github.com/headwatch/headwatch/suites"
)

// fakeRig stands in for builder, runner and machine, which have conformance
// suites of their own: here it is about whose fault what they say is.
type fakeRig struct {
	layouts          string // path
	openErr, bootErr error
	debug            string // content of the debug file; empty: none
	debugErr         error
	os               string
	exit             runners.Exit
	closeErr         error
	console          fakeConsole
	crashes          []string
	done             chan struct{}
	closed           bool

	booted      time.Time // when the cold boot was
	bootCrashes []runners.Crash
	whole       bool  // it cannot be cloned
	startErr    error // of every start but the first
	starts      int
	given       bool // the template was closed
	starved     time.Duration
	pressErr    error    // pressure cannot be applied
	liftErr     error    // or not be undone
	pressed     []uint64 // seeds of pressures
	lifted      int      // how many of them have ended
}

// fakeConsole is a console that shows the given crashes.
type fakeConsole struct {
	crashes  []runners.Crash
	expected []string
}

func (c *fakeConsole) Write(p []byte) (int, error) { return len(p), nil }
func (c *fakeConsole) Crashes() []runners.Crash    { return c.crashes }
func (c *fakeConsole) Tail(int) string             { return "" }

// Part forgets what other machines said.
func (c *fakeConsole) Part(string) runners.MachineConsole {
	c.crashes = nil
	return c
}

func (c *fakeConsole) Expect(titles []string) { c.expected = titles }

// fakeTemplate starts the rig's machine, as clones or, when it cannot, by booting.
type fakeTemplate struct{ *fakeRig }

func (t fakeTemplate) Facts() runners.Facts {
	if t.whole {
		return runners.Facts{}
	}
	return t.fakeRig.Facts()
}

func (t fakeTemplate) Start(context.Context, runners.Start) (runners.Machine, error) {
	switch {
	case t.whole && t.bootErr != nil:
		return nil, t.bootErr
	case t.starts > 0 && t.startErr != nil:
		return nil, t.startErr
	}
	t.starts++
	t.crashes, t.done, t.exit = nil, make(chan struct{}), runners.ExitKilled
	return t.fakeRig, nil
}

func (t fakeTemplate) Close() error { t.given = true; return nil }

func (f *fakeRig) Inputs(context.Context, runners.Recipe) ([]string, string, error) {
	return nil, "", nil
}

func (f *fakeRig) Build(context.Context, runners.Recipe, runners.Tree, io.Writer) (runners.Image, error) {
	return runners.Image{}, errors.New("not asked for")
}

func (f *fakeRig) Open(context.Context, string, string) (runners.Bootable, error) {
	return runners.Bootable{Image: runners.Image{OS: f.os}, Layouts: f.layouts}, f.openErr
}

func (f *fakeRig) Debug(_ context.Context, _, dir string) (string, error) {
	if f.debug == "" || f.debugErr != nil {
		return "", f.debugErr
	}
	path := filepath.Join(dir, "kernel.debug")
	return path, os.WriteFile(path, []byte(f.debug), 0o644)
}

func (f *fakeRig) Boot(context.Context, runners.Bootable, runners.Spec) (runners.Machine, error) {
	if f.bootErr != nil {
		return nil, f.bootErr
	}
	return f, nil
}

func (f *fakeRig) Template(_ context.Context, _ runners.Bootable, s runners.Spec) (runners.Template, error) {
	if f.bootErr != nil && !f.whole {
		return nil, f.bootErr
	}
	f.console.crashes = f.bootCrashes
	return fakeTemplate{f}, nil
}

func (f *fakeRig) Wire(int) net.Conn      { return nil }
func (f *fakeRig) MACs() []string         { return nil }
func (f *fakeRig) Starved() time.Duration { return f.starved }
func (f *fakeRig) Pressure(_ context.Context, seed uint64) (func() error, error) {
	if f.pressErr != nil {
		return nil, f.pressErr
	}
	f.pressed = append(f.pressed, seed)
	return func() error { f.lifted++; return f.liftErr }, nil
}
func (f *fakeRig) Command(runners.Bootable, runners.Spec) string { return "" }
func (f *fakeRig) Describe(context.Context) (string, error)      { return "fake", nil }
func (f *fakeRig) OS() string                                    { return f.os }
func (f *fakeRig) CPUs() int                                     { return 2 }
func (f *fakeRig) Call(context.Context, string, any, any) error  { return nil }
func (f *fakeRig) Crashes() []string                             { return f.crashes }
func (f *fakeRig) PowerOff(context.Context) error                { return nil }
func (f *fakeRig) Facts() runners.Facts {
	return runners.Facts{BootID: "b1", Kernel: "6.1", Booted: f.booted}
}
func (f *fakeRig) Done() <-chan struct{}        { return f.done }
func (f *fakeRig) Close() (runners.Exit, error) { f.closed = true; return f.exit, f.closeErr }
func (f *fakeRig) end(how runners.Exit)         { f.exit = how; close(f.done) }
func (f *fakeRig) execution(t *testing.T, cases ...suites.Case) (*Execution, *[]suites.Result) {
	var got []suites.Result
	return &Execution{
		Builder: f, Runner: f, Cases: cases, Image: "sha256:0", Suite: "s", Dir: filepath.Join(t.TempDir(), "work"), Console: &f.console,
		Record: func(r suites.Result) error { got = append(got, r); return nil },
	}, &got
}

func newFake() *fakeRig {
	return &fakeRig{os: "linux", done: make(chan struct{}), booted: time.Now().Add(time.Hour)} // after the run began
}

// refused is the kernel's no, as a machine reports it.
type refused struct{}

func (refused) Error() string         { return "op: refused" }
func (refused) KernelRefused() string { return "mmap: ENOMEM (cannot allocate memory)" }

func caseOf(name string, f func(context.Context, *suites.T) error) suites.Case {
	return suites.Case{Name: name, Layer: suites.Smoke, Timeout: time.Minute, Run: f}
}

func pass(context.Context, *suites.T) error { return nil }

// words gives results as "case status reason".
func words(results []suites.Result) (out []string) {
	for _, r := range results {
		out = append(out, strings.TrimSpace(r.Case+" "+r.Status.String()+" "+r.Reason))
	}
	return out
}

func TestWhoseFaultACaseIs(t *testing.T) {
	f := newFake()
	only := caseOf("elsewhere", pass)
	only.OSes = []string{"freebsd"}
	e, got := f.execution(t,
		caseOf("passes", pass),
		caseOf("kernel", func(context.Context, *suites.T) error { return suites.Failf("lost %d bytes", 3) }),
		caseOf("refused", func(context.Context, *suites.T) error { return refused{} }),
		caseOf("ours", func(context.Context, *suites.T) error { return errors.New("socket closed") }),
		caseOf("bug", func(context.Context, *suites.T) error { panic("index out of range") }),
		caseOf("skips", func(context.Context, *suites.T) error { return suites.Skipf("needs kvm") }),
		only,
		caseOf("crashes", func(context.Context, *suites.T) error {
			f.crashes = append(f.crashes, "panic: console race")
			return errors.New("lost the guest")
		}),
		caseOf("unnoticed", func(context.Context, *suites.T) error {
			f.crashes = append(f.crashes, "lock order reversal: a after b")
			return nil
		}),
	)
	e.Cases[0].Causes = []string{"KDB: enter: asked for"}
	for i, want := range []int{1, 0} {
		run := e.Cases[i].Run
		e.Cases[i].Run = func(ctx context.Context, t *suites.T) error {
			if got := f.console.expected; len(got) != want {
				return fmt.Errorf("the console expects %q, want %d titles", got, want)
			}
			return run(ctx, t)
		}
	}
	var r Run
	status, err := e.Do(t.Context(), pipeline.Machine{}, time.Minute, &r)
	if err != nil || status != suites.Failed {
		t.Errorf("status %v, error %v", status, err)
	}
	want := []string{
		"boot passed", "s/passes passed", "s/kernel failed lost 3 bytes",
		"s/refused failed mmap: ENOMEM (cannot allocate memory)", "s/ours broken socket closed",
		"s/bug broken the case itself panicked: index out of range", "s/skips skipped needs kvm",
		"s/elsewhere skipped only for freebsd, the guest is linux",
		"s/crashes failed panic: console race", "s/unnoticed failed lock order reversal: a after b",
	}
	if d := cmp.Diff(want, words(*got)); d != "" {
		t.Error(d)
	}
	if r.BootID != "b1" || !f.closed {
		t.Errorf("run %+v, machine closed: %v", r, f.closed)
	}
}

func TestAGuestThatEnds(t *testing.T) {
	for _, tt := range []struct {
		how  runners.Exit
		rigs error
		want string
	}{
		{runners.ExitGuest, nil, "s/ends failed the guest reset or shut down by itself"},
		{runners.ExitGuest, errors.New("agent died"), "s/ends broken connection lost"},
		{runners.ExitMonitor, errors.New("qemu died"), "s/ends broken connection lost"},
	} {
		f := newFake()
		f.closeErr = tt.rigs
		e, got := f.execution(t, caseOf("ends", func(context.Context, *suites.T) error {
			f.end(tt.how)
			return errors.New("connection lost")
		}), caseOf("after", pass))
		status, err := e.Do(t.Context(), pipeline.Machine{}, 0, &Run{})
		if err != nil {
			t.Fatal(err)
		}
		want := []string{"boot passed", tt.want, "s/after passed"} // on a machine of its own
		if d := cmp.Diff(want, words(*got)); d != "" {
			t.Errorf("%v (status %v):\n%s", tt.how, status, d)
		}
	}
}

// A stall for which the machine blames its host is shown on the console and is no
// evidence about the kernel, nor is what the case made of it.
func TestStarvedCaseIsBroken(t *testing.T) {
	f := newFake()
	stall := func(verdict error, crash ...string) func(context.Context, *suites.T) error {
		return func(context.Context, *suites.T) error {
			f.console.crashes = append(f.console.crashes, runners.Crash{Title: "BUG: soft lockup", Stall: true})
			f.crashes = append(f.crashes, crash...)
			return verdict
		}
	}
	e, got := f.execution(t, caseOf("fails", stall(suites.Failf("too slow"))), caseOf("passes", stall(nil)), caseOf("next", pass),
		caseOf("kernel", stall(nil, "BUG: soft lockup")))
	if _, err := e.Do(t.Context(), pipeline.Machine{}, 0, &Run{}); err != nil {
		t.Fatal(err)
	}
	const why = "broken the host gave the guest so little CPU that its kernel reported a stall"
	want := []string{"boot passed", "s/fails " + why, "s/passes " + why, "s/next passed", "s/kernel failed BUG: soft lockup"}
	if d := cmp.Diff(want, words(*got)); d != "" {
		t.Error(d)
	}
}

func TestBootFaults(t *testing.T) {
	f := newFake()
	f.bootErr = &runners.BootError{Title: "Kernel panic - not syncing", Reason: "no agent after 3s"}
	e, got := f.execution(t, caseOf("a", pass))
	status, err := e.Do(t.Context(), pipeline.Machine{}, 0, &Run{})
	want := []string{"boot failed Kernel panic - not syncing: no agent after 3s", "s/a skipped the kernel did not boot"}
	if d := cmp.Diff(want, words(*got)); d != "" || err != nil || status != suites.Failed {
		t.Errorf("the kernel's fault: %v, %v\n%s", status, err, d)
	}
	for name, f := range map[string]*fakeRig{"monitor": {bootErr: errors.New("qemu: not found")}, "image": {openErr: errors.New("digest mismatch")}} {
		e, got := f.execution(t, caseOf("a", pass))
		status, err := e.Do(t.Context(), pipeline.Machine{}, 0, &Run{})
		if err == nil || status != suites.Broken || len(*got) != 0 {
			t.Errorf("%s: the rig's fault gave %v, %v, %v: it is no evidence", name, status, err, words(*got))
		}
	}
}

func TestACaseThatHangsIsBroken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		e, got := f.execution(t, caseOf("hangs", func(ctx context.Context, _ *suites.T) error {
			<-ctx.Done()
			return ctx.Err()
		}))
		if _, err := e.Do(t.Context(), pipeline.Machine{}, time.Hour, &Run{}); err != nil {
			t.Fatal(err)
		}
		want := []string{"boot passed", "s/hangs broken no answer within 1m0s: context deadline exceeded"}
		if d := cmp.Diff(want, words(*got)); d != "" {
			t.Error(d)
		}
	})
}

func TestCasesDrawFromTheSeed(t *testing.T) {
	draw := func(seed uint64, name string) uint64 { return random(seed, name).Uint64() }
	first, again := draw(1, "s/a"), draw(1, "s/a")
	if first != again {
		t.Error("the same seed and case drew differently")
	}
	if first == draw(2, "s/a") || first == draw(1, "s/b") {
		t.Error("another seed or case drew the same")
	}
}

// A case that asks for what the machine does not have is skipped and says why; it is
// not run.
func TestCaseThatAsksForMore(t *testing.T) {
	f := newFake()
	never := func(context.Context, *suites.T) error { t.Error("it ran"); return nil }
	e, got := f.execution(t, suites.Case{Name: "fast", Requires: []string{"kvm"}, Run: never},
		suites.Case{Name: "wide", Requires: []string{"smp>=4"}, Run: never})
	var r Run
	if _, err := e.Do(t.Context(), pipeline.Machine{SMP: 2, Memory: 256}, time.Minute, &r); err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{"needs kvm", "needs 4 virtual CPUs, the machine has 2"} {
		if res := (*got)[1+i]; res.Status != suites.Skipped || !strings.Contains(res.Reason, want) {
			t.Errorf("%s: %v, %q; want skipped, %q", res.Case, res.Status, res.Reason, want)
		}
	}
}

// A boot that an earlier run has told of is not told again; what its console showed
// counts for those who look at the console.
func TestABootIsOneDraw(t *testing.T) {
	f := newFake()
	f.booted = time.Now().Add(-time.Minute)
	f.bootCrashes = []runners.Crash{{Title: "lock order reversal"}, {Title: "soft lockup", Stall: true}}
	e, got := f.execution(t, caseOf("console", func(_ context.Context, t *suites.T) error {
		return suites.Failf("%q", t.Guest.Crashes())
	}))
	var kept runners.Template
	e.Keep = func(t runners.Template) { kept = t }
	var r Run
	if _, err := e.Do(t.Context(), pipeline.Machine{}, 0, &r); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]string{`s/console failed ["lock order reversal"]`}, words(*got)); d != "" {
		t.Error(d)
	}
	if r.BootID != "b1" || kept == nil || f.given {
		t.Errorf("run %+v, kept %v, closed %t", r, kept, f.given)
	}
}

// A case is told what the image knows of its kernel's structures.
func TestCaseKnowsLayouts(t *testing.T) {
	f := newFake()
	f.layouts = filepath.Join(t.TempDir(), "layouts.json")
	if err := os.WriteFile(f.layouts, []byte(`{"tcpstat":{}}`), 0o644); err != nil {
		t.Fatal(err)
	}
	e, got := f.execution(t, caseOf("a", func(_ context.Context, t *suites.T) error {
		g, ok := t.Guest.(interface{ KernelLayouts() []byte })
		if !ok || string(g.KernelLayouts()) != `{"tcpstat":{}}` {
			return suites.Failf("it does not know them")
		}
		return nil
	}))
	if _, err := e.Do(t.Context(), pipeline.Machine{}, 0, &Run{}); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]string{"boot passed", "s/a passed"}, words(*got)); d != "" {
		t.Error(d)
	}
	f.layouts += ".none"
	if _, err := e.Do(t.Context(), pipeline.Machine{}, 0, &Run{}); err == nil {
		t.Error("layouts that are not there were not missed")
	}
}

// Where there are no clones each case boots, and one that does not is told of.
func TestMachinesThatCannotBeCloned(t *testing.T) {
	f := newFake()
	f.whole = true
	e, got := f.execution(t, caseOf("a", pass), caseOf("b", pass))
	if _, err := e.Do(t.Context(), pipeline.Machine{}, 0, &Run{}); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]string{"boot passed", "s/a passed", "s/b passed"}, words(*got)); d != "" || f.starts != 2 || !f.given {
		t.Errorf("%d starts, template closed %t\n%s", f.starts, f.given, d)
	}
	for why, want := range map[error]string{
		&runners.BootError{Title: "panic: late", Reason: "no agent"}: "s/b failed panic: late: no agent",
		errors.New("no memory"): "s/b broken its machine did not start: no memory",
	} {
		f := newFake()
		f.whole, f.startErr = true, why
		e, got := f.execution(t, caseOf("a", pass), caseOf("b", pass))
		if _, err := e.Do(t.Context(), pipeline.Machine{}, 0, &Run{}); err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff([]string{"boot passed", "s/a passed", want}, words(*got)); d != "" {
			t.Error(d)
		}
	}
	f = newFake()
	f.whole, f.bootErr = true, &runners.BootError{Title: "panic", Reason: "no agent"}
	e, got = f.execution(t, caseOf("a", pass))
	status, err := e.Do(t.Context(), pipeline.Machine{}, 0, &Run{})
	if d := cmp.Diff([]string{"boot failed panic: no agent", "s/a skipped the kernel did not boot"}, words(*got)); d != "" || err != nil || status != suites.Failed {
		t.Errorf("%v, %v\n%s", status, err, d)
	}
}

func TestTemplatesAreKeptForAWhile(t *testing.T) {
	var k keptTemplates
	rigs := []*fakeRig{newFake(), newFake(), newFake()}
	for _, f := range rigs {
		k.keep(fakeTemplate{f})
	}
	if !rigs[0].given || rigs[1].given || rigs[2].given {
		t.Error("want the last two kept, and the first closed")
	}
	k.close()
	if !rigs[1].given || !rigs[2].given {
		t.Error("some are left open")
	}
}
