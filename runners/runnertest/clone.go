package runnertest

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/headwatch/headwatch/runners"
	"github.com/headwatch/headwatch/runners/console"
)

// clockError is how far a clone's clock may be from the host's, on a busy host.
const clockError = 10 * time.Second

func makeTemplate(t *testing.T, newRunner NewRunner) (runners.Template, runners.Spec) {
	t.Helper()
	r, b, s := newRunner(t)
	template, err := r.Template(t.Context(), b, s)
	if err != nil {
		t.Fatalf("template: %v\nconsole:\n%s", err, s.ConsoleLog.Tail(4096))
	}
	t.Cleanup(func() { template.Close() })
	if said := s.ConsoleLog.Tail(1 << 20); !strings.Contains(said, "Linux version") && !strings.Contains(said, "FreeBSD") {
		t.Errorf("the console of the cold boot lacks the kernel's voice: %q", said)
	}
	if f := template.Facts(); f.BootID == "" || f.Template != f.BootID || f.Cloned || f.BootTime <= 0 {
		t.Errorf("facts of the cold boot: %+v", f)
	}
	return template, s
}

func start(t *testing.T, template runners.Template, seed uint64) (runners.Machine, string) {
	t.Helper()
	s := runners.Start{Dir: t.TempDir(), ConsoleLog: console.New(console.Options{}), Seed: seed}
	m, err := template.Start(t.Context(), s)
	if err != nil {
		t.Fatalf("start: %v\nconsole:\n%s", err, s.ConsoleLog.Tail(4096))
	}
	t.Cleanup(func() { m.Close() })
	f, cold := m.Facts(), template.Facts()
	if !f.Cloned || f.Template != cold.BootID || f.BootID == cold.BootID || f.BootTime != cold.BootTime || f.Kernel != cold.Kernel {
		t.Errorf("facts of a clone: %+v, of its cold boot: %+v", f, cold)
	}
	return m, s.Dir
}

// testCloneLife has a clone do what a machine that was booted does.
func testCloneLife(t *testing.T, newRunner NewRunner) {
	before := observe(t)
	template, spec := makeTemplate(t, newRunner)
	m, dir := start(t, template, 0)
	checkLife(t, m)
	before.compare(t, dir)
	before.compare(t, spec.Dir)

	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	log := console.New(console.Options{})
	if m, err := template.Start(cancelled, runners.Start{Dir: dir, ConsoleLog: log}); err == nil {
		m.Close()
		t.Error("started under a cancelled context")
	}
	before.compare(t, dir)
	if err := template.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
	if m, err := template.Start(t.Context(), runners.Start{Dir: dir, ConsoleLog: log}); err == nil {
		m.Close()
		t.Error("started from a closed template")
	}
	before.compare(t, dir)
}

// testSiblings runs clones of one template side by side.
func testSiblings(t *testing.T, newRunner NewRunner) {
	before := observe(t)
	template, spec := makeTemplate(t, newRunner)
	a, dirA := start(t, template, 1)
	b, dirB := start(t, template, 2)
	if a.Facts().BootID == b.Facts().BootID {
		t.Errorf("two clones have the boot id %s", a.Facts().BootID)
	}
	checkRandom(t, a, b)
	checkClock(t, a)
	checkApart(t, a, b)
	if len(spec.NICs) > 0 {
		checkWires(t, a, b)
	}
	checkOver(t, a, killed(t, a))
	c, dirC := start(t, template, 3) // after the others, with nothing of theirs
	if was := remember(t, c, "c"); was != [2]string{} {
		t.Errorf("a clone remembers %q of an earlier one", was)
	}
	if err := template.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
	for name, m := range map[string]runners.Machine{"b": b, "c": c} {
		var got string
		if err := m.Call(t.Context(), Echo, "alone", &got); err != nil || got != "alone" {
			t.Errorf("clone %s after its sibling and its template were closed: %q, %v", name, got, err)
		}
		checkOver(t, m, killed(t, m))
	}
	for _, dir := range []string{spec.Dir, dirA, dirB, dirC} {
		before.compare(t, dir)
	}
}

// killed closes a machine.
func killed(t *testing.T, m runners.Machine) runners.Exit {
	t.Helper()
	exit, err := m.Close()
	if exit != runners.ExitKilled || err != nil {
		t.Errorf("close: %v, %v; want %v", exit, err, runners.ExitKilled)
	}
	return exit
}

func checkRandom(t *testing.T, machines ...runners.Machine) {
	t.Helper()
	var seen [][]byte
	for range 2 {
		for _, m := range machines {
			var b []byte
			if err := m.Call(t.Context(), Random, nil, &b); err != nil || len(b) != 32 {
				t.Fatalf("random: %d bytes, %v", len(b), err)
			}
			if slices.ContainsFunc(seen, func(s []byte) bool { return bytes.Equal(s, b) }) {
				t.Errorf("random bytes %x were drawn twice", b)
			}
			seen = append(seen, b)
		}
	}
}

func checkClock(t *testing.T, m runners.Machine) {
	t.Helper()
	var ns int64
	if err := m.Call(t.Context(), Clock, nil, &ns); err != nil {
		t.Fatalf("clock: %v", err)
	}
	if off := time.Since(time.Unix(0, ns)); off.Abs() > clockError {
		t.Errorf("the clock is %v off", off)
	}
}

func remember(t *testing.T, m runners.Machine, text string) (was [2]string) {
	t.Helper()
	if err := m.Call(t.Context(), Remember, text, &was); err != nil {
		t.Fatalf("remember: %v", err)
	}
	return was
}

// checkApart checks that clones see nothing of each other's memory and files.
func checkApart(t *testing.T, a, b runners.Machine) {
	t.Helper()
	for _, step := range []struct {
		m         runners.Machine
		text, was string
	}{{a, "a", ""}, {b, "b", ""}, {a, "", "a"}, {b, "", "b"}} {
		if was := remember(t, step.m, step.text); was != [2]string{step.was, step.was} {
			t.Errorf("memory and file hold %q, want %q", was, step.was)
		}
	}
}

// checkWires checks that each clone has addresses of its own and sends to its own
// wires.
func checkWires(t *testing.T, machines ...runners.Machine) {
	t.Helper()
	seen := map[string]bool{}
	for i, m := range machines {
		var macs []string
		if err := m.Call(t.Context(), MACs, nil, &macs); err != nil {
			t.Fatalf("addresses: %v", err)
		}
		if facts := m.Facts().MACs; !slices.Equal(slices.Sorted(slices.Values(macs)), slices.Sorted(slices.Values(facts))) {
			t.Errorf("the guest has the addresses %v, its facts %v", macs, facts)
		}
		for _, mac := range macs {
			if seen[mac] {
				t.Errorf("two interfaces have the address %s", mac)
			}
			seen[mac] = true
		}
		text := fmt.Sprintf("frame of clone %d", i)
		if err := m.Call(t.Context(), Send, text, nil); err != nil {
			t.Fatalf("send: %v", err)
		}
		for n, mac := range m.Facts().MACs {
			if err := hear(m.Wire(n), mac, text); err != nil {
				t.Errorf("clone %d, nic %d: %v", i, n, err)
			}
		}
	}
}

// hear reads frames until there is one from mac with the text.
func hear(wire net.Conn, mac, text string) error {
	if wire == nil {
		return fmt.Errorf("it has no wire")
	}
	src, err := net.ParseMAC(mac)
	if err != nil {
		return err
	}
	wire.SetReadDeadline(time.Now().Add(quick))
	defer wire.SetReadDeadline(time.Time{})
	for {
		var size uint32
		if err := binary.Read(wire, binary.BigEndian, &size); err != nil {
			return fmt.Errorf("wait for %q from %s: %w", text, mac, err)
		}
		frame := make([]byte, min(size, 1<<16))
		if _, err := io.ReadFull(wire, frame); err != nil {
			return err
		}
		if len(frame) < 14 || !bytes.Contains(frame[14:], []byte("frame of clone ")) {
			continue // the kernel's own
		}
		if !bytes.Equal(frame[6:12], src) || !bytes.Contains(frame, []byte(text)) {
			return fmt.Errorf("got the frame %q, want %q from %s", frame, text, mac)
		}
		return nil
	}
}
