package symbol

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/headwatch/headwatch/runners"
)

// A guest that says nothing was at some places: they have names, and each CPU has the
// one that it was at most often.
func TestSamplesHaveFunctions(t *testing.T) {
	path := compile(t, "-g")
	table := open(t, path)
	here, hand := address(t, path, "here"), address(t, path, "by_hand")
	var text strings.Builder
	text.WriteString("headwatch: hang: kernel started, no init; nothing new for 60s\nregisters:\n")
	for _, addr := range []uint64{here, here + 1, 1, here} {
		fmt.Fprintf(&text, "cpu0 at %#016x, halted; cpu1 at %#016x with interrupts off; cpu2 at 0x0000000000000001 in user mode\n", hand, addr)
	}
	fmt.Fprintf(&text, "cpu0 at %#016x, halted (4 of 4)\ncpu1 at %#016x with interrupts off (2 of 4)\ncpu2 at 0x0000000000000001 in user mode (4 of 4)\n", hand, here)
	got, frames := Symbolize(runners.Crash{Title: "hang: x", Signature: "ab", Text: text.String()}, table)
	for _, want := range []string{
		fmt.Sprintf("\ncpu0 at %#016x [by_hand sys/amd64/by_hand.S:4], halted; cpu1 at %#016x [deepest sys/kern/main.c:6] with interrupts off; cpu2 at 0x0000000000000001 in user mode\n", hand, here),
		fmt.Sprintf("\ncpu0 at %#016x [by_hand sys/amd64/by_hand.S:4], halted (4 of 4)\ncpu0 in by_hand (4 of 4 samples)\n", hand),
		fmt.Sprintf("\ncpu1 at %#016x [deepest sys/kern/main.c:6] with interrupts off (2 of 4)\ncpu1 in outer (3 of 4 samples)\ncpu2 at 0x0000000000000001 in user mode (4 of 4)\n", here),
	} {
		if !strings.Contains(got.Text, want) {
			t.Errorf("no %q in\n%s", want, got.Text)
		}
	}
	want := []Frame{
		{Func: "deepest", File: "sys/kern/main.c", Line: 6, Inlined: true},
		{Func: "middle", File: "sys/kern/main.c", Line: 13, Inlined: true}, {Func: "outer", File: "sys/kern/main.c", Line: 19},
	}
	if d := cmp.Diff(want, frames); d != "" {
		t.Error(d)
	}
	if got.Where != "sys/kern/main.c:6" || got.Title != "hang: x" || got.Signature != "ab" {
		t.Errorf("%+v", got)
	}
}

// A CPU that waits for an interrupt, or runs processes, does not tell what a guest hangs
// in.
func TestIdleSamplesAreNoStack(t *testing.T) {
	path := compile(t, "-g")
	table, here := open(t, path), address(t, path, "here")
	for name, text := range map[string]string{
		"idle":                  fmt.Sprintf("cpu0 at %#016x, halted\n", here),
		"as often in user mode": fmt.Sprintf("cpu0 at %#016x, halted\ncpu0 at 0x0000000000000001 in user mode\n", here),
		"now and then at work":  fmt.Sprintf("cpu0 at %#016x, halted\ncpu0 at %#016x, halted\ncpu0 at %#016x\n", here, here, here),
	} {
		if got, frames := Symbolize(runners.Crash{Text: text}, table); len(frames) != 0 || got.Where != "" {
			t.Errorf("%s: %+v, where %q", name, frames, got.Where)
		}
	}
}
