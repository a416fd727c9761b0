package main

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

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
	suite := tcp.Suite()
	cases, planted := seeded(t, suite.Cases)
	b.suites = []suites.Suite{{Name: "tcp", Cases: cases}}
	machine := &pipeline.Machine{Name: "m", SMP: 2, Memory: 256, Accel: "auto", NICs: []pipeline.NIC{{Model: "virtio-net", Link: "wire"}}}
	j := orchestrator.Job{Target: raceTarget, Image: img.ID, Machine: "m", Def: machine, Suite: "tcp", Layer: suites.Smoke, Seed: 7}
	doc, err := b.execute(t.Context(), j, "")
	if err != nil {
		t.Fatal(err)
	}
	results := doc.Results[1:] // the first is the boot
	if len(results) != len(cases) {
		t.Fatalf("%d results of %d cases", len(results), len(cases))
	}
	for _, r := range results {
		t.Logf("%s: %s in %.1f s: %s %v", r.Case, r.Status, r.DurationS, r.Reason, r.Metrics)
		f := planted[r.Case]
		starved := r.Status == suites.Broken.String() && strings.Contains(r.Reason, "the host")
		switch {
		case f.Name == faults.None && r.Status != suites.Passed.String() && !starved:
			t.Errorf("no fault: %s: %s %s", r.Case, r.Status, r.Reason)
		case f.Name == faults.None:
		case r.Status != suites.Failed.String() && !starved:
			t.Errorf("%s: %s %s: want failed with %s", r.Case, r.Status, r.Reason, f.Reason)
		case !regexp.MustCompile(f.Reason).MatchString(r.Reason):
			t.Errorf("%s does not name what is wrong: %s: want %s", r.Case, r.Reason, f.Reason)
		}
	}
}

// seeded are the cases with the faults that they must find, in families by turns, and
// some without any. The map says which fault a result is of.
func seeded(t *testing.T, have []suites.Case) (cases []suites.Case, planted map[string]faults.Fault) {
	planted = map[string]faults.Fault{}
	add := func(f faults.Fault, c suites.Case) {
		c = f.In(c)
		c.Layer = suites.Smoke // of this run
		cases = append(cases, c)
		planted["tcp/"+c.Name] = f
	}
	for _, c := range have {
		if slices.Contains([]string{"f01_v6", "r01_sack_v4", "r01_plain_v6"}, c.Name) {
			add(faults.Fault{Name: faults.None}, c)
		}
	}
	found := 0
	for i, f := range faults.All() {
		able := slices.DeleteFunc(slices.Clone(have), func(c suites.Case) bool { return !f.Finds(c.Name) || c.Layer > suites.Functional })
		if len(able) == 0 {
			t.Logf("fault %s waits for a case %s", f.Name, f.Case)
			continue
		}
		if able[0].Layer == suites.Smoke { // the cheap ones
			able = slices.DeleteFunc(able, func(c suites.Case) bool { return c.Layer != suites.Smoke })
		}
		add(f, able[i%len(able)])
		found++
	}
	if found < 12 {
		t.Errorf("%d faults have a case that should find them, want 12 at least", found)
	}
	return cases, planted
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
