package qemu

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/headwatch/headwatch/runners"
	"github.com/headwatch/headwatch/runners/console"
	"github.com/headwatch/headwatch/runners/runnertest"
)

// writer lets several goroutines log.
type writer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (w *writer) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.b.Write(p)
}

func (w *writer) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.b.String()
}

func mustTemplate(t *testing.T, r *Runner, b runners.Bootable, s runners.Spec) runners.Template {
	t.Helper()
	template, err := r.Template(t.Context(), b, s)
	if err != nil {
		t.Fatalf("%v\nconsole:\n%s", err, s.ConsoleLog.Tail(4096))
	}
	t.Cleanup(func() { template.Close() })
	return template
}

func mustStart(t *testing.T, template runners.Template) runners.Machine {
	t.Helper()
	log := console.New(console.Options{})
	m, err := template.Start(t.Context(), runners.Start{Dir: t.TempDir(), ConsoleLog: log})
	if err != nil {
		t.Fatalf("%v\nconsole:\n%s", err, log.Tail(4096))
	}
	t.Cleanup(func() { m.Close() })
	return m
}

// A template outlives its runner, is one for all who ask at once, and is made again
// when it is damaged or another cold boot is wanted. Its machine has what can go
// wrong: a disk, a NIC that no driver takes, and one behind another link.
func TestTemplatesAreKept(t *testing.T) {
	requireQEMU(t)
	requireMemoryFiles(t)
	t.Parallel()
	var said writer
	c := Config{Templates: filepath.Join(t.TempDir(), "templates"), Log: slog.New(slog.NewTextHandler(&said, nil))}
	b := runnertest.LinuxGuest(t)
	b.Disk = filepath.Join(t.TempDir(), "disk,img")
	if err := os.WriteFile(b.Disk, make([]byte, 3<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	request := func(ordinal int) runners.Spec {
		s := spec(t)
		s.NICs = []runners.NIC{
			{Model: "e1000", Link: "wire"}, {Model: "virtio-net", Link: "user"}, {Model: "virtio-net", Link: "wire", MAC: "52:54:00:00:00:07"},
		}
		s.Ordinal = ordinal
		return s
	}
	first := New(c)
	var together [2]runners.Template
	var asks sync.WaitGroup
	for i := range together {
		asks.Go(func() { together[i] = mustTemplate(t, first, b, request(0)) })
	}
	asks.Wait()
	if t.Failed() {
		return
	}
	id := together[0].Facts().BootID
	if other := together[1].Facts().BootID; other != id {
		t.Errorf("asked twice at once, booted twice: %s and %s", id, other)
	}
	if !strings.Contains(said.String(), "a NIC does not work") || !strings.Contains(said.String(), "no driver took it") {
		t.Errorf("no word of a NIC without a driver: %s", said.String())
	}
	m := mustStart(t, together[0])
	if macs := m.Facts().MACs; len(macs) != 3 || macs[1] == "52:54:00:68:77:01" || macs[2] != "52:54:00:00:00:07" {
		t.Errorf("addresses %v: want a new second, and the third as it was asked for", macs)
	}
	if m.Wire(0) == nil || m.Wire(1) != nil || m.Wire(2) == nil || m.Wire(3) != nil || m.Wire(-1) != nil {
		t.Error("wires: want the first's and the third's")
	}
	if err := m.PowerOff(t.Context()); err != nil {
		t.Error(err)
	}
	for _, template := range together {
		template.Close()
	}

	second := New(c)
	s := request(0)
	again := mustTemplate(t, second, b, s)
	if got := again.Facts().BootID; got != id {
		t.Errorf("another runner booted again: %s, want %s", got, id)
	}
	if !strings.Contains(s.ConsoleLog.Tail(1<<20), "Linux version") {
		t.Error("the cold boot's console was not kept")
	}
	if m := mustStart(t, again); m.Facts().Template != id {
		t.Errorf("facts %+v", m.Facts())
	}
	again.Close()
	if other := mustTemplate(t, second, b, request(1)).Facts().BootID; other == id {
		t.Error("the second cold boot is the first")
	}
	damage(t, c.Templates)
	if other := mustTemplate(t, second, b, request(0)).Facts().BootID; other == id || !strings.Contains(said.String(), "damaged") {
		t.Errorf("a damaged template was used: %s", said.String())
	}
}

// damage flips a byte of the memory of the templates in a folder that are not in
// use.
func damage(t *testing.T, dir string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*", ramName))
	if err != nil || len(files) != 2 {
		t.Fatalf("%v, %v: want two templates", files, err)
	}
	for _, path := range files {
		lock, err := os.Open(filepath.Dir(path))
		if err != nil {
			t.Fatal(err)
		}
		defer lock.Close()
		if !flock(lock, true) {
			continue
		}
		f, err := os.OpenFile(path, os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		var b [1]byte
		if _, err := f.ReadAt(b[:], 123456); err != nil {
			t.Fatal(err)
		}
		b[0] ^= 1
		if _, err := f.WriteAt(b[:], 123456); err != nil {
			t.Fatal(err)
		}
	}
}

// A machine that cannot be cloned is booted by each start.
func TestTemplateThatBoots(t *testing.T) {
	requireQEMU(t)
	t.Parallel()
	s := spec(t)
	s.ExtraArgs = []string{"-d", "guest_errors"}
	template := mustTemplate(t, New(Config{}), runnertest.LinuxGuest(t), s)
	if f := template.Facts(); f.BootID != "" || f.Command == "" {
		t.Errorf("facts before any boot: %+v", f)
	}
	m := mustStart(t, template)
	if f := m.Facts(); f.Cloned || f.Template != f.BootID || f.BootID == "" || f.StartTime < f.BootTime {
		t.Errorf("facts of a boot: %+v", f)
	}
	if s.ConsoleLog.Tail(1) != "" {
		t.Error("a start speaks on the template's console")
	}
}

// Clones have no privileges, and what they are made of cannot be written.
func TestCloneHasNoPrivileges(t *testing.T) {
	requireQEMU(t)
	requireMemoryFiles(t)
	t.Parallel()
	made := mustTemplate(t, New(Config{}), runnertest.LinuxGuest(t), spec(t))
	m := mustStart(t, made).(*machine)
	st := status(t, m.vm.proc.cmd.Process.Pid)
	if st["NoNewPrivs"] != "1" || st["Seccomp"] != "2" || strings.Trim(st["CapEff"], "0") != "" {
		t.Errorf("NoNewPrivs %s, Seccomp %s, CapEff %s", st["NoNewPrivs"], st["Seccomp"], st["CapEff"])
	}
	if os.Geteuid() == 0 && slices.Contains(strings.Fields(st["Uid"]), "0") {
		t.Errorf("Uid %s: want none of root's", st["Uid"])
	}
	for name, f := range made.(*template).held.frozen.files() {
		if w, err := again(f, os.O_RDWR); err == nil {
			if _, err := w.WriteAt([]byte("x"), 0); err == nil {
				t.Errorf("%s of a template can be written", name)
			}
			w.Close()
		}
	}
}
