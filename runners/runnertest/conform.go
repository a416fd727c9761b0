package runnertest

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/headwatch/headwatch/runners"
	"github.com/headwatch/headwatch/runners/console"
	"github.com/headwatch/headwatch/runners/nic"
)

// Further operations of the suite's guest.
const (
	Serve   = "test/serve"   // takes a TCP connection at an address and answers a line
	Ask     = "test/ask"     // says a line there, and returns the answer
	Resolve = "test/resolve" // returns the station of an address
)

// Way is how a machine comes to be. The zero value is invalid.
type Way string

// Ways.
const (
	Cold  Way = "cold"  // booted
	Clone Way = "clone" // started from a template
)

// Ways lists them.
var Ways = []Way{Cold, Clone}

// OfSuite says that a guest is the suite's own, with its operations. Another one has
// headwatch's agent, and only its NICs and its end are checked.
type OfSuite bool

// Conform gets a machine in one way, with the NICs of its spec, and checks that each
// of them carries frames in both directions, that the machine does what machines do,
// and that nothing of it is left. A clone of a guest of the suite's own asks another
// one over a cable between the two; in long tests each machine with a wire does.
func Conform(t *testing.T, newRunner NewRunner, way Way, own OfSuite) {
	before := observe(t)
	source := open(t, newRunner, way)
	m := source.machine(t)
	checkFacts(t, m, source, way)
	lines := checkNICs(t, m, source.spec.NICs, own)
	if own {
		// Another boot only for two on a cable is for those who have the time.
		if far := firstWire(lines); far >= 0 && (source.cloned() || Long()) {
			checkPair(t, m, lines[far], source, far)
		}
		checkLife(t, m)
	} else {
		checkEnd(t, m)
	}
	if err := source.close(); err != nil {
		t.Errorf("close: %v", err)
	}
	for _, dir := range source.dirs {
		before.compare(t, dir)
	}
}

// source is where the machines of a test come from.
type source struct {
	runner   runners.Runner
	boot     runners.Bootable
	spec     runners.Spec
	template runners.Template // nil: they are booted
	dirs     []string         // of the machines
}

func open(t *testing.T, newRunner NewRunner, way Way) *source {
	t.Helper()
	s := &source{}
	s.runner, s.boot, s.spec = newRunner(t)
	if way == Cold {
		return s
	}
	var err error
	if s.template, err = s.runner.Template(t.Context(), s.boot, s.spec); err != nil {
		t.Fatalf("template: %v\nconsole:\n%s", err, s.spec.ConsoleLog.Tail(4096))
	}
	t.Cleanup(func() { s.template.Close() })
	s.dirs = append(s.dirs, s.spec.Dir)
	return s
}

// machine gives another machine.
func (s *source) machine(t *testing.T) runners.Machine {
	t.Helper()
	dir, log := t.TempDir(), console.New(console.Options{})
	s.dirs = append(s.dirs, dir)
	var m runners.Machine
	var err error
	if s.template != nil {
		m, err = s.template.Start(t.Context(), runners.Start{Dir: dir, ConsoleLog: log})
	} else {
		spec := s.spec
		spec.Dir, spec.ConsoleLog = dir, log
		m, err = s.runner.Boot(t.Context(), s.boot, spec)
	}
	if err != nil {
		t.Fatalf("start: %v\nconsole:\n%s", err, log.Tail(4096))
	}
	t.Cleanup(func() { m.Close() })
	return m
}

func (s *source) close() error {
	if s.template == nil {
		return nil
	}
	return s.template.Close()
}

// cloned says whether the machines are clones: a template may boot each time.
func (s *source) cloned() bool { return s.template != nil && s.template.Facts().BootID != "" }

func checkFacts(t *testing.T, m runners.Machine, s *source, way Way) {
	t.Helper()
	f := m.Facts()
	if f.BootID == "" || f.Kernel == "" || f.Monitor == "" || f.Command == "" || f.BootTime <= 0 || len(f.MACs) != len(s.spec.NICs) {
		t.Errorf("facts are not complete: %+v", f)
	}
	if f.Cloned != s.cloned() || f.Cloned == (f.Template == f.BootID) {
		t.Errorf("facts of a machine by way of %s: %+v", way, f)
	}
	if m.OS() != s.boot.Image.OS || m.CPUs() != s.spec.SMP {
		t.Errorf("machine says %s with %d CPUs, want %s with %d", m.OS(), m.CPUs(), s.boot.Image.OS, s.spec.SMP)
	}
	first := m.Starved()
	if again := m.Starved(); first < 0 || again < first {
		t.Errorf("starved for %v, and then for %v", first, again)
	}
	for i, n := range s.spec.NICs {
		if (m.Wire(i) != nil) != hasWire(n) {
			t.Errorf("nic %d, link %s: wire %v", i, n.Link, m.Wire(i))
		}
	}
	if m.Wire(-1) != nil || m.Wire(len(s.spec.NICs)) != nil {
		t.Error("a NIC that is not there has a wire")
	}
}

// hasWire says whether the host's end of a NIC's link is in our hands.
func hasWire(n runners.NIC) bool {
	return n.Link == nic.Wire || n.Link == nic.Tap && n.Bridge == "" || n.Link == nic.VFIO
}

func firstWire(lines []nic.Frames) int {
	return slices.IndexFunc(lines, func(f nic.Frames) bool { return f != nil })
}

// checkEnd powers a machine off that has nothing of the suite.
func checkEnd(t *testing.T, m runners.Machine) {
	t.Helper()
	if c := m.Crashes(); len(c) != 0 {
		t.Errorf("crashes of a healthy guest: %q", c)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := m.PowerOff(ctx); err != nil {
		t.Fatalf("power off: %v", err)
	}
	checkOver(t, m, runners.ExitPowerOff)
}

// Title names a machine of a matrix.
func Title(n runners.NIC, way Way, control string) string {
	return strings.Join([]string{n.Model, n.Link, string(way), control}, "/")
}

// Long says whether tests in their long forms are wanted.
func Long() bool { return os.Getenv("HEADWATCH_LONG") != "" }

// checkPair lays a cable between a machine and another of the same source, and has
// one ask the other.
func checkPair(t *testing.T, a runners.Machine, ours nic.Frames, s *source, i int) {
	t.Helper()
	b := s.machine(t)
	cable := nic.Join(ours, nic.Stream(b.Wire(i)), nic.Limits{})
	defer func() {
		if err := cable.Close(); err != nil {
			t.Errorf("cable: %v", err)
		}
		if exit, err := b.Close(); exit != runners.ExitKilled || err != nil {
			t.Errorf("close: %v, %v", exit, err)
		}
	}()
	other := fmt.Sprintf("10.77.%d.2", i)
	if err := assign(t.Context(), b, b.Facts().MACs[i], other); err != nil {
		t.Errorf("the other machine: %v", err)
		return
	}
	ctx, cancel := context.WithTimeout(t.Context(), quick)
	defer cancel()
	served := make(chan error, 1)
	go func() { served <- b.Call(ctx, Serve, other+":7777", nil) }()
	var answer string
	err := a.Call(ctx, Ask, map[string]string{"Address": other + ":7777", "Text": "two on a wire"}, &answer)
	if err != nil || answer != "heard two on a wire" {
		t.Errorf("nic %d: asked another machine over the cable: %q, %v", i, answer, err)
		cancel()
	}
	if err := <-served; err != nil && !t.Failed() {
		t.Errorf("the machine that was asked: %v", err)
	}
	for side := range 2 {
		if c := cable.Counters(side); c.Frames == 0 || c.Dropped != 0 {
			t.Errorf("what came from side %d: %+v", side, c)
		}
	}
}
