package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/headwatch/headwatch/orchestrator"
	"github.com/headwatch/headwatch/orchestrator/pipeline"
	"github.com/headwatch/headwatch/runners/build/linux"
	"github.com/headwatch/headwatch/suites"
	"github.com/headwatch/headwatch/suites/tcp"
	"github.com/headwatch/headwatch/suites/tcp/faults"
)

// Each fault that is planted in a real kernel's TCP is found by its case, and named;
// with the module there and no fault in it the cases pass.
func TestTCPSuiteFindsFaults(t *testing.T) {
	if testing.Short() {
		t.Skip("boots a guest and runs a case for each fault: a minute")
	}
	if ok, err := condition("guest"); !ok {
		t.Skipf("no QEMU or no guest kernel: run make setup (%v)", err)
	}
	tree := faultTree(t)
	var said bytes.Buffer
	a := &app{stdout: &said, stderr: &said, state: t.TempDir()}
	file, err := a.loadPipeline()
	if err != nil {
		t.Fatal(err)
	}
	target := file.Targets[raceTarget]
	target.Overlay = "guest"
	file.Targets[raceTarget] = target
	b, err := a.openBench(file, a.state, "test")
	if err != nil {
		t.Fatal(err)
	}
	defer b.close()
	img, err := a.buildImage(t.Context(), b, raceTarget, sourceOptions{src: tree})
	if err != nil {
		t.Fatalf("%v\n%s", err, said.String())
	}
	cases := seeded(tcp.Suite().Cases)
	left := trial(t, b, img.ID, cases, 7)
	if len(left) > 0 { // a busy host can have made them something else than the fault did
		t.Logf("%d of %d are done again, on another boot", len(left), len(cases))
		left = trial(t, b, img.ID, left, 7)
	}
	for _, c := range left {
		t.Errorf("%s: want %v, with %v", c.run.Name, c.status, c.says)
	}
	drawn := map[float64]int{}
	found := 0
	for _, c := range cases {
		switch {
		case c.draw:
			drawn[*c.has]++
		case c.status == suites.Failed:
			found++
		}
	}
	if found < 12 {
		t.Errorf("%d faults have a case that finds them, want 12 at least", found)
	}
	if drawn[0] == 0 || drawn[1] == 0 {
		t.Errorf("a fault that 30 %% of the machines have: %d have it, %d have not", drawn[1], drawn[0])
	}
}

// trial does the cases in clones of one boot, and gives those of which came something
// else than should.
func trial(t *testing.T, b *workbench, image string, cases []planted, seed uint64) (left []planted) {
	t.Helper()
	suite := suites.Suite{Name: "tcp"}
	for _, c := range cases {
		suite.Cases = append(suite.Cases, c.run)
	}
	b.suites = []suites.Suite{suite}
	machine := &pipeline.Machine{Name: "m", SMP: 2, Memory: 256, Accel: "auto", NICs: []pipeline.NIC{{Model: "virtio-net", Link: "wire"}}}
	j := orchestrator.Job{Target: raceTarget, Image: image, Machine: "m", Def: machine, Suite: "tcp", Layer: trialLayer, Seed: seed}
	doc, err := b.execute(t.Context(), j, "")
	if err != nil {
		t.Fatal(err)
	}
	results := doc.Results[1:] // the first is the boot
	if len(results) != len(cases) {
		t.Fatalf("%d results of %d cases", len(results), len(cases))
	}
	for i, r := range results {
		t.Logf("%s: %s in %.1f s: %s %v", r.Case, r.Status, r.DurationS, r.Reason, r.Metrics)
		c := cases[i]
		*c.has = r.Metrics["fault_planted"]
		// A host that starves its guest makes what a case found no failure, and keeps
		// its words.
		starved := r.Status == suites.Broken.String() && strings.Contains(r.Reason, "the host kept the guest")
		if !c.says.MatchString(r.Reason) || r.Status != c.status.String() && !starved && !c.draw {
			left = append(left, c)
		}
	}
	return left
}

// planted is a case on a machine with a fault, and what must come of it.
type planted struct {
	run    suites.Case
	status suites.Status
	says   *regexp.Regexp
	draw   bool     // whether the machine has the fault is drawn
	has    *float64 // whether it had, 1 or 0
}

// longest is what a case may take that finds a fault in the ordinary tests; with
// HEADWATCH_LONG it may take longer.
const longest = time.Minute

// trialLayer is the one whose runs may take longest.
const trialLayer = suites.Soak

// seeded are the cases with the faults that they must find, in families by turns; some
// without any; and faults that get no occasion: those that wait for a case, and some
// machines of which few have one.
func seeded(have []suites.Case) (all []planted) {
	add := func(f faults.Fault, c suites.Case, status suites.Status, says string) {
		c = f.In(c)
		c.Layer = trialLayer
		all = append(all, planted{c, status, regexp.MustCompile(says), f.Chance > 0, new(float64)})
	}
	for _, c := range have {
		if slices.Contains([]string{"f01_v6", "r01_sack_v4", "r01_plain_v6"}, c.Name) {
			add(faults.Fault{Name: faults.None}, c, suites.Passed, "^$")
		}
	}
	idle := suites.Case{Name: "idle", Timeout: longest, Run: func(context.Context, *suites.T) error { return nil }}
	for i, f := range faults.All() {
		able := slices.DeleteFunc(slices.Clone(have), func(c suites.Case) bool {
			return !f.Finds(c.Name) || c.Timeout > longest && !f.Quick && os.Getenv("HEADWATCH_LONG") == ""
		})
		if len(able) == 0 {
			add(f, idle, suites.Broken, "never hit")
			continue
		}
		// The cheap ones, where there are such.
		layer := slices.MinFunc(able, func(a, b suites.Case) int { return cmp.Compare(a.Layer, b.Layer) }).Layer
		able = slices.DeleteFunc(able, func(c suites.Case) bool { return c.Layer != layer })
		add(f, able[i%len(able)], suites.Failed, f.Reason)
	}
	for n := range 8 {
		idle.Name = fmt.Sprintf("idle_%d", n)
		add(faults.Fault{Name: "wrong_data", Chance: 30}, idle, suites.Broken, "^$|never hit")
	}
	return all
}

// faultTree is a commit's tree whose overlay has the module in it.
func faultTree(t *testing.T) string {
	t.Helper()
	kernels := linux.DefaultKernels()
	found, _ := filepath.Glob(filepath.Join(kernels, "cloud", "boot", "vmlinuz-*"))
	if len(found) == 0 {
		t.Skip("no guest kernel: run make setup")
	}
	headers, err := faults.Headers(kernels, strings.TrimPrefix(filepath.Base(slices.Max(found)), "vmlinuz-"))
	if errors.Is(err, faults.ErrNoHeaders) {
		t.Skip(err)
	}
	path, err := faults.Module(t.Context(), headers, filepath.Join(kernels, "faults"))
	if err != nil {
		t.Fatal(err)
	}
	module, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	tree := t.TempDir()
	at := filepath.Join(tree, "guest", "files", faults.ModulePath)
	if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(at, module, 0o644); err != nil {
		t.Fatal(err)
	}
	return tree
}
