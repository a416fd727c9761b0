package symbol

import (
	"debug/elf"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/headwatch/headwatch/runners"
)

// The program's lines are numbered from 1; the test knows them by heart.
var program = map[string]string{
	"sys/kern/main.c": `extern int volatile sink;
static inline __attribute__((always_inline)) int
deepest(int x)
{
	sink = x;
	__asm__ volatile(".globl here\nhere: nop");
	return sink;
}

static inline __attribute__((always_inline)) int
middle(int x)
{
	return deepest(x + 1) + 1;
}

__attribute__((noinline)) int
outer(int x)
{
	return middle(x) * 2;
}

static __attribute__((noinline)) int twice(int x) { sink = x; return sink + 1; }
int other(int);
int by_hand(int);

int
main(void)
{
	return outer(sink) + twice(sink) + other(1) + by_hand(0);
}
`,
	"sys/kern/other.c": `int volatile sink;
static __attribute__((noinline)) int twice(int x) { sink = x; sink = x; return sink + 2; }
int
other(int x)
{
	return twice(x);
}
`,
	"sys/amd64/by_hand.S": `	.text
	.globl by_hand
by_hand:
	xor %eax, %eax
	ret
	.section .note.GNU-stack,"",@progbits
`,
}

// compile makes the program and returns its path.
func compile(t *testing.T, flags ...string) string {
	t.Helper()
	gcc, err := exec.LookPath("gcc")
	if err != nil {
		t.Skip("no gcc: nothing to symbolize")
	}
	dir := t.TempDir()
	args := append([]string{"-O2", "-fno-pie", "-no-pie", "-o", filepath.Join(dir, "prog")}, flags...)
	for name, text := range program {
		path := filepath.Join(dir, "src", name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(name, ".S") && !strings.Contains(gccMachine(t, gcc), "x86_64") {
			t.Skip("the program's assembler part is for amd64")
		}
		args = append(args, path)
	}
	cmd := exec.Command(gcc, args...)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("gcc: %v\n%s", err, out)
	}
	return filepath.Join(dir, "prog")
}

func gccMachine(t *testing.T, gcc string) string {
	t.Helper()
	out, err := exec.Command(gcc, "-dumpmachine").Output()
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

func open(t *testing.T, path string) *Table {
	t.Helper()
	table, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := table.Close(); err != nil {
			t.Error(err)
		}
	})
	return table
}

// address of a symbol, by another reader.
func address(t *testing.T, path, name string) uint64 {
	t.Helper()
	f, err := elf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	syms, err := f.Symbols()
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range syms {
		if s.Name == name {
			return s.Value
		}
	}
	t.Fatalf("no symbol %s", name)
	return 0
}

// inlined is what is at the label here.
var inlined = []Frame{
	{Func: "deepest", File: "sys/kern/main.c", Line: 6, Inlined: true},
	{Func: "middle", File: "sys/kern/main.c", Line: 13, Inlined: true},
	{Func: "outer", File: "sys/kern/main.c", Line: 19},
}

func TestResolve(t *testing.T) {
	for _, flags := range []string{"-g", "-gdwarf-4", "-gdwarf-5", "-g -gz"} {
		t.Run(strings.ReplaceAll(flags, " ", ""), func(t *testing.T) {
			path := compile(t, strings.Fields(flags)...)
			table := open(t, path)
			here, outer := address(t, path, "here"), address(t, path, "outer")
			got, err := table.Resolve("outer", here-outer)
			if d := cmp.Diff(inlined, got); d != "" || err != nil {
				t.Errorf("%v %s", err, d)
			}
			if got, err := table.ResolveAddr(here); err != nil || !cmp.Equal(inlined, got) {
				t.Errorf("%v %v", got, err)
			}
			if got, err := table.Resolve("other", 0); err != nil || len(got) == 0 || got[len(got)-1].Func != "other" || got[len(got)-1].File != "sys/kern/other.c" {
				t.Errorf("%v %v", got, err)
			}
			// The assembler notes lines only with -g, and never functions.
			if got, err := table.Resolve("by_hand", 2); err != nil || len(got) != 1 || got[0].Func != "by_hand" {
				t.Errorf("%v %v", got, err)
			}
		})
	}
}

func TestResolveRefuses(t *testing.T) {
	path := compile(t, "-g")
	table := open(t, path)
	for _, c := range []struct {
		fn   string
		off  uint64
		want error
	}{
		{"nosuch", 0, ErrUnknown},
		{"outer", 1 << 20, ErrUnknown},
		{"outer", ^uint64(0), ErrUnknown},
		{"twice", 0, ErrAmbiguous},
	} {
		if got, err := table.Resolve(c.fn, c.off); !errors.Is(err, c.want) {
			t.Errorf("%s+%#x: %v, %v; want %v", c.fn, c.off, got, err, c.want)
		}
	}
	if _, err := table.ResolveAddr(1); !errors.Is(err, ErrUnknown) {
		t.Errorf("%v", err)
	}
	closed := open(t, path)
	if err := closed.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := closed.ResolveAddr(1); err == nil || !strings.Contains(err.Error(), "closed") {
		t.Errorf("%v", err)
	}
}

func TestOpenRefuses(t *testing.T) {
	dir := t.TempDir()
	good, err := os.ReadFile(compile(t, "-g"))
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		content []byte
		want    string
	}{
		"empty":     {nil, "not empty"},
		"text":      {[]byte("this is no ELF file at all"), "bad magic"},
		"truncated": {good[:len(good)/2], "debug file"},
	} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, c.content, 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(path); err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := Open(filepath.Join(dir, "absent")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("absent: %v", err)
	}
	if _, err := Open(compile(t)); err == nil || !strings.Contains(err.Error(), "no debug information") {
		t.Errorf("without -g: %v", err)
	}
}

// TestDamage flips bytes: whatever the file says, there is an answer or an error.
func TestDamage(t *testing.T) {
	path := compile(t, "-g")
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	here := address(t, path, "here")
	bad := filepath.Join(t.TempDir(), "bad")
	for i := 0; i < len(good); i += 1 + len(good)/150 {
		broken := append([]byte(nil), good...)
		for k := i; k < min(i+8, len(broken)); k++ {
			broken[k] ^= 0xff
		}
		if err := os.WriteFile(bad, broken, 0o644); err != nil {
			t.Fatal(err)
		}
		table, err := Open(bad)
		if err != nil {
			continue
		}
		table.ResolveAddr(here)
		table.Resolve("main", 1)
		if err := table.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestManyAskAtOnce(t *testing.T) {
	path := compile(t, "-g")
	table, here := open(t, path), address(t, path, "here")
	var asking sync.WaitGroup
	for range 8 {
		asking.Go(func() {
			for range 20 {
				if got, err := table.ResolveAddr(here); err != nil || !cmp.Equal(inlined, got) {
					t.Errorf("%v %v", got, err)
				}
			}
		})
	}
	asking.Wait()
}

func TestAnnotate(t *testing.T) {
	path := compile(t, "-g")
	table := open(t, path)
	off := address(t, path, "here") - address(t, path, "outer")
	twice := address(t, path, "other") // some address that is not in twice
	c := runners.Crash{
		Title: "panic: x in outer", Signature: "ab", Frames: []runners.Frame{{Func: "outer", Offset: off}},
		Text: fmt.Sprintf("panic: x\n--- trap 0xc, rip = 0x1 ---\nouter() at outer+%#x/frame 0xfffffe00550a4b20\n"+
			"netmap_poll() at netmap_poll+0x5c/frame 0x0\n#2 %#x at twice+0x1\n outer+%#x/0x90\nRIP: 0010:outer+%#x/0x90\n#3 0x0 at outer+%#x\nno newline", off, twice, off+1, off, off+1),
	}
	got := Annotate(c, table)
	tree := "deepest sys/kern/main.c:6 [inline]\nmiddle sys/kern/main.c:13 [inline]\n"
	want := fmt.Sprintf("panic: x\n--- trap 0xc, rip = 0x1 ---\n"+tree+"outer() at outer+%#x/frame 0xfffffe00550a4b20 [sys/kern/main.c:19]\n"+
		"netmap_poll() at netmap_poll+0x5c/frame 0x0\n#2 %#x at twice+0x1\n"+tree+" outer+%#x/0x90 [sys/kern/main.c:19]\n"+
		tree+"RIP: 0010:outer+%#x/0x90 [sys/kern/main.c:19]\n"+tree+"#3 0x0 at outer+%#x [sys/kern/main.c:19]\nno newline", off, twice, off+1, off, off+1)
	if d := cmp.Diff(want, got.Text); d != "" {
		t.Error(d)
	}
	c.Frames = append(c.Frames, runners.Frame{Func: "netmap_poll", Offset: 0x5c}, runners.Frame{Addr: 7}, runners.Frame{Func: "outer", Offset: off + 1})
	_, frames := Symbolize(c, table)
	stack := append(slices.Clone(inlined), Frame{Func: "netmap_poll"}, Frame{})
	if d := cmp.Diff(append(stack, inlined...), frames); d != "" {
		t.Error(d)
	}
	if got.Where != "sys/kern/main.c:6" || got.Title != c.Title || got.Signature != c.Signature {
		t.Errorf("%+v", got)
	}
}
