package main

import (
	"debug/elf"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/headwatch/headwatch/orchestrator"
	"github.com/headwatch/headwatch/runners"
	"github.com/headwatch/headwatch/runners/build"
	"github.com/headwatch/headwatch/runners/build/images"
	"github.com/headwatch/headwatch/runners/console"
)

// kernelSource stands for a kernel's: a function with another inlined into it.
const kernelSource = `int volatile sink;
static inline __attribute__((always_inline)) int
advance(int x)
{
	sink = x;
	__asm__ volatile(".globl here\nhere: nop");
	return sink;
}

__attribute__((noinline)) int
send(int x)
{
	return advance(x) + 1;
}

int
main(void)
{
	return send(sink);
}
`

// debugFile compiles the source and says how far into send the label is.
func debugFile(t *testing.T) (path string, offset uint64) {
	t.Helper()
	gcc, err := exec.LookPath("gcc")
	if err != nil {
		t.Skip("no gcc: nothing to symbolize")
	}
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "sys/kern"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "sys/kern/send.c"), []byte(kernelSource), 0o644); err != nil {
		t.Fatal(err)
	}
	path = filepath.Join(dir, "kernel.debug")
	cmd := exec.Command(gcc, "-O2", "-g", "-fno-pie", "-no-pie", "-o", path, filepath.Join(dir, "sys/kern/send.c"))
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("gcc: %v\n%s", err, out)
	}
	f, err := elf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	list, err := f.Symbols()
	if err != nil {
		t.Fatal(err)
	}
	at := map[string]uint64{}
	for _, s := range list {
		at[s.Name] = s.Value
	}
	return path, at["here"] - at["send"]
}

// TestCrashGetsLinesOfItsKernel takes a panic from the console's text to the lines
// of the debug file that the image store keeps beside the image.
func TestCrashGetsLinesOfItsKernel(t *testing.T) {
	debug, off := debugFile(t)
	kept, err := images.Open(filepath.Join(t.TempDir(), "images"))
	if err != nil {
		t.Fatal(err)
	}
	defer kept.Close()
	img, err := kept.Put(t.Context(), images.Manifest{OS: "freebsd", Arch: "amd64"}, images.BytesArtifact(images.RoleDisk, []byte("disk")))
	if err != nil {
		t.Fatal(err)
	}
	log := console.New(console.Options{})
	fmt.Fprintf(log, "panic: sent too much\ncpuid = 0\nKDB: stack backtrace:\nvpanic() at vpanic+0x132/frame 0xfffffe0058\n"+
		"panic() at panic+0x43/frame 0xfffffe0058\nsend() at send+%#x/frame 0xfffffe005a\nmod_event() at mod_event+0x7/frame 0xfffffe005b\nKDB: enter: panic\n[ thread pid 1 tid 1 ]\nStopped at kdb_enter+0x37\ndb> \n", off+1)
	s := orchestrator.Symbolizer{Builder: build.New(build.Config{Store: kept, Agent: build.Agent}), Open: openSymbols}
	crashes := func() orchestrator.Crash {
		t.Helper()
		dir := filepath.Join(t.TempDir(), "work")
		got, err := s.Crashes(t.Context(), "r", img.ID, dir, log.Crashes())
		if err != nil || len(got) != 1 {
			t.Fatalf("%+v, %v", got, err)
		}
		if _, err := os.Stat(dir); err == nil {
			t.Error("the debug file is left")
		}
		return got[0]
	}
	plain := crashes()
	if plain.Where != "" || plain.Kind != runners.KindFatal.String() || plain.Frames[0] != (orchestrator.Frame{Func: "send"}) {
		t.Errorf("without a debug file: %+v", plain)
	}
	if err := kept.Attach(t.Context(), img.ID, "kernel.debug", debug); err != nil {
		t.Fatal(err)
	}
	lined := crashes()
	want := []orchestrator.Frame{{Func: "advance", File: "sys/kern/send.c", Line: 6, Inlined: true}, {Func: "send", File: "sys/kern/send.c", Line: 13}, {Func: "mod_event"}}
	if d := cmp.Diff(want, lined.Frames); d != "" || lined.Where != "sys/kern/send.c:6" {
		t.Errorf("in %q, frames (-want +got):\n%s", lined.Where, d)
	}
	if !strings.Contains(lined.Text, "advance sys/kern/send.c:6 [inline]\nsend() at send+") || lined.Signature != plain.Signature || lined.Title != plain.Title {
		t.Errorf("%+v", lined)
	}
}
