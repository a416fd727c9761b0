package model

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// sim is a machine in a slice of numbers, with a bug by name.
type sim struct {
	bug   string
	pages [Pages]struct {
		mapped, shared, free bool
		prot                 Prot
		how                  How
		value                uint32
	}
	shm  [Pages]uint32
	size int
}

func (m *sim) load(i int) Access {
	p := m.pages[i]
	switch {
	case !p.mapped || p.prot < ReadOnly || p.shared && i >= m.size:
		return Access{Fault: true}
	case p.shared:
		return Access{Value: m.shm[i]}
	}
	return Access{Value: p.value}
}

func (m *sim) store(i int, v uint32) Access {
	p := &m.pages[i]
	switch {
	case !p.mapped || p.prot < ReadWrite || p.shared && i >= m.size:
		return Access{Fault: true}
	case p.shared:
		m.shm[i] = v
	default:
		p.value, p.free = v, false
	}
	return Access{}
}

func (m *sim) Do(o Op) (saw Saw, err error) {
	for i := o.First; i < o.First+o.Count && o.Kind != Fork && o.Kind != Truncate; i++ {
		p := &m.pages[i]
		switch o.Kind {
		case MapAnon, MapShm:
			*p = (&sim{}).pages[0]
			p.mapped, p.shared, p.prot, p.how = true, o.Kind == MapShm, o.Prot, Copy
		case Unmap:
			if m.bug == "unmap leaves the last page" && i == o.First+o.Count-1 && o.Count > 2 {
				continue
			}
			*p = (&sim{}).pages[0]
		case Protect:
			if m.bug == "protect across the border" && i >= Large && o.First < Large {
				continue
			}
			p.prot = o.Prot
			if m.bug == "demotion loses a neighbour" && i == o.First && o.Count < Large && i > 0 && m.pages[i-1].mapped && o.Prot == None {
				m.pages[i-1].value++
			}
		case DontNeed:
			if !p.shared {
				p.value = 0
			}
		case Free:
			p.free = true
			if i%3 == 0 {
				p.value = 0
			}
		case Inherit:
			p.how = o.How
		case Read, KRead:
			saw.Pages = append(saw.Pages, m.load(i))
		case Write, KWrite:
			saw.Pages = append(saw.Pages, m.store(i, o.Value))
		}
	}
	switch o.Kind {
	case Truncate:
		for i := o.Count; i < m.size; i++ {
			m.shm[i] = 0
		}
		m.size = o.Count
	case Fork:
		child := *m
		for i := range child.pages {
			switch p := &child.pages[i]; p.how {
			case Keep:
				p.mapped = false
			case Zero:
				p.value = 0
			}
		}
		for i := o.First; i < o.First+o.Count; i++ {
			saw.Pages = append(saw.Pages, child.load(i))
		}
		for i := o.First; i < o.First+o.Count; i++ {
			saw.Pages = append(saw.Pages, child.store(i, o.Value))
		}
		m.shm = child.shm
		if m.bug == "copy on write of a child" && o.First < Large && m.pages[o.First].prot == ReadWrite {
			m.pages[o.First].value = o.Value
		}
	}
	return saw, nil
}

var bugs = []string{"unmap leaves the last page", "protect across the border", "demotion loses a neighbour", "copy on write of a child"}

func newSim(bug string) *sim { return &sim{bug: bug, size: Pages} }

// A sound machine never mismatches, and what Expect says is what it does.
func TestSoundMachine(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := Generate(rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0)), "linux", 60, Options{Threads: 3, Forks: rapid.Bool().Draw(t, "forks")})
		if m, err := Run("linux", newSim(""), s); m != nil || err != nil {
			t.Fatalf("%v %v\n%s", m, err, s)
		}
		back, err := Parse(s.String())
		if diff := cmp.Diff(plain(s), plain(back)); diff != "" || err != nil {
			t.Fatalf("%v %s", err, diff)
		}
	})
}

// plain is a script without the fields that its text has no use for.
func plain(s Script) Script {
	var p Script
	for _, o := range s {
		q, err := parseOp(o.String())
		if err != nil {
			panic(err)
		}
		p = append(p, q)
	}
	return p
}

// Each bug is found within some scripts, and shrinks to a few operations that still show it.
func TestBugsAreFoundAndShrink(t *testing.T) {
	for _, bug := range bugs {
		t.Run(bug, func(t *testing.T) {
			fails := func(s Script) (bool, error) {
				m, err := Run("linux", newSim(bug), s)
				return m != nil, err
			}
			for seed := range uint64(100) {
				s := Generate(rand.New(rand.NewPCG(seed, 0)), "linux", 60, Options{Threads: 2, Forks: strings.Contains(bug, "child")})
				m, err := Run("linux", newSim(bug), s)
				if err != nil {
					t.Fatal(err)
				}
				if m == nil {
					continue
				}
				short, err := Shrink(s[:m.At+1], 400, fails)
				if err != nil {
					t.Fatal(err)
				}
				again, _ := Run("linux", newSim(bug), short)
				t.Logf("script %d, of %d operations: %s\n%v", seed+1, len(s), short, again)
				if again == nil || len(short) > 5 {
					t.Errorf("%d operations left", len(short))
				}
				return
			}
			t.Error("not found in 100 scripts")
		})
	}
}

func TestShrinkStops(t *testing.T) {
	s := Generate(rand.New(rand.NewPCG(1, 0)), "linux", 60, Options{})
	asked := 0
	got, err := Shrink(s, 7, func(Script) (bool, error) { asked++; return asked%2 == 1, nil })
	if asked != 7 || err != nil || len(got) >= len(s) {
		t.Errorf("asked %d times, %v, %d operations of %d", asked, err, len(got), len(s))
	}
	gone := errors.New("gone")
	if _, err := Shrink(s, 7, func(Script) (bool, error) { return false, gone }); !errors.Is(err, gone) {
		t.Error(err)
	}
}

func TestParseErrors(t *testing.T) {
	for text, want := range map[string]string{
		"anon 0+1 rw":           `operation 1, "anon 0+1 rw": want THREAD:KIND FIRST+COUNT [ARGUMENT]`,
		"0:anon 0+1 x":          "want none, r or rw",
		"0:read 0+1; 0:sit 0+1": `operation 2, "0:sit 0+1": no such kind of operation`,
		"0:read 1000+25":        "25 pages from 1000 on: the range has 1024",
		"99:read 0+1":           "thread 99: want 0 to 15",
		"0:write 0+1 -1":        `value "-1": want a number below 2^32`,
		"0:read 0+1 5":          "read takes no argument",
		"0:read 0+0":            "no pages",
	} {
		if _, err := Parse(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", text, err, want)
		}
	}
}

// The verdicts of the oracle, one by one.
func TestOracle(t *testing.T) {
	fault := Access{Fault: true}
	for _, c := range []struct {
		name, os, before, op string
		saw                  Saw
		want                 string
	}{
		{"fresh is zero", "linux", "0:anon 0+2 rw", "0:read 0+1", Saw{Pages: []Access{{}}}, ""},
		{"fresh is not", "linux", "0:anon 0+2 rw", "0:read 0+1", Saw{Pages: []Access{{Value: 7}}}, "page 0 holds 7, and must hold 0"},
		{"stale write", "linux", "0:anon 0+2 rw; 0:protect 0+1 r", "1:write 0+1 3", Saw{Pages: []Access{{}}}, "page 0 was written, and must not be: it is read-only"},
		{"stale read", "linux", "0:anon 0+2 rw; 0:unmap 0+1", "1:read 0+1", Saw{Pages: []Access{{}}}, "page 0 was read, and must not be: it is not mapped"},
		{"lost", "linux", "0:anon 0+2 rw", "1:read 0+1", Saw{Pages: []Access{fault}}, "page 0 cannot be read, and must be"},
		{"torn", "linux", "0:anon 0+2 rw; 0:write 0+1 9", "1:read 0+1", Saw{Pages: []Access{{Value: 9, Torn: true, Word: 3, Got: 5}}}, "page 0: word 3 is 0x5, which no value of the page explains; it must hold 9"},
		{"not needed, Linux", "linux", "0:anon 0+2 rw; 0:write 0+1 9; 0:dontneed 0+1", "1:read 0+1", Saw{Pages: []Access{{Value: 9}}}, "must hold 0"},
		{"not needed, FreeBSD", "freebsd", "0:anon 0+2 rw; 0:write 0+1 9; 0:dontneed 0+1", "1:read 0+1", Saw{Pages: []Access{{Value: 9}}}, ""},
		{"freed: as before", "freebsd", "0:anon 0+2 rw; 0:write 0+1 9; 0:free 0+1", "1:read 0+1", Saw{Pages: []Access{{Value: 9}}}, ""},
		{"freed: zeros", "linux", "0:anon 0+2 rw; 0:write 0+1 9; 0:free 0+1", "1:read 0+1", Saw{}, "0 accesses were reported"},
		{"freed: another's", "linux", "0:anon 0+2 rw; 0:write 0+1 9; 0:free 0+1", "1:read 0+1", Saw{Pages: []Access{{Value: 8}}}, "must hold 9 or 0"},
		{"past the end", "linux", "0:shm 0+2 rw; 0:truncate 0+1", "1:read 1+1", Saw{Pages: []Access{{}}}, "past the object's end at page 1"},
		{"child's store", "linux", "0:anon 0+2 rw; 0:inherit 0+1 keep", "0:fork 0+1 4", Saw{Pages: []Access{fault, {}}}, "in the child, 0:fork 0+1 4: page 0 was written, and must not be: it is not mapped"},
		{"refused", "linux", "0:anon 0+2 rw", "0:lock 0+1", Saw{Errno: "EINVAL"}, "it must not fail, and did with EINVAL"},
	} {
		before, err := Parse(c.before)
		if err != nil {
			t.Fatal(err)
		}
		op, err := Parse(c.op)
		if err != nil {
			t.Fatal(err)
		}
		o := NewOracle(c.os)
		for _, b := range before {
			if !o.Applies(b) {
				t.Fatalf("%s: %s does not apply", c.name, b)
			}
			o.Check(b, o.Expect(b))
		}
		if got := o.Check(op[0], c.saw); !strings.Contains(got, c.want) || (got == "") != (c.want == "") {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

// What is written as C compiles, and a sound kernel passes it, threads, forks and all.
func TestWriteC(t *testing.T) {
	cc, err := exec.LookPath("cc")
	if err != nil {
		t.Skip("no C compiler")
	}
	dir := t.TempDir()
	for seed := range uint64(3) {
		s := Generate(rand.New(rand.NewPCG(seed, 7)), runtime.GOOS, 60, Options{Threads: 3, Forks: seed == 1, NoLocks: true})
		var b bytes.Buffer
		if err := WriteC(&b, runtime.GOOS, s, "memory lost"); err != nil {
			t.Fatal(err)
		}
		source, program := filepath.Join(dir, fmt.Sprintf("%d.c", seed)), filepath.Join(dir, fmt.Sprint(seed))
		if err := os.WriteFile(source, b.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.Command(cc, "-Wall", "-O1", "-o", program, source, "-lpthread").CombinedOutput(); err != nil || len(out) > 0 {
			t.Fatalf("%v\n%s", err, out)
		}
		if out, err := exec.CommandContext(t.Context(), program).CombinedOutput(); err != nil {
			t.Errorf("%v\n%s\n%s", err, out, s)
		}
	}
}

func TestWriteGo(t *testing.T) {
	s, err := Parse("0:anon 0+512 rw; 1:write 3+1 5; 0:inherit 3+1 zero")
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	if err := WriteGo(&b, s, "lost page"); err != nil {
		t.Fatal(err)
	}
	want := `{name: "lost page", script: model.Script{
	{Kind: model.MapAnon, Thread: 0, First: 0, Count: 512, Prot: model.ReadWrite},
	{Kind: model.Write, Thread: 1, First: 3, Count: 1, Value: 5},
	{Kind: model.Inherit, Thread: 0, First: 3, Count: 1, How: model.Zero},
}},
`
	if diff := cmp.Diff(want, b.String()); diff != "" {
		t.Error(diff)
	}
}
