//go:build linux || freebsd

package guest

import (
	"os"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// havePtys skips where pseudo-terminals cannot be had.
func havePtys(t *testing.T) {
	t.Helper()
	fd, _, err := openMaster()
	if err != nil {
		t.Skipf("no pseudo-terminals here: %v", err)
	}
	closeQuietly(fd)
}

func closeQuietly(fd int) { os.NewFile(uintptr(fd), "pty").Close() }

// A storm of the host's own pseudo-terminals comes along, ends, and leaves nothing open.
func TestStormLeavesNothing(t *testing.T) {
	havePtys(t)
	before, err := count()
	if err != nil {
		t.Fatal(err)
	}
	s, err := brew(t.Context(), StormArgs{Seed: 1, DurationS: .3, GraceS: 20, Workers: []Worker{
		{Kind: Ptys, Threads: 4}, {Kind: Sessions, Threads: 2}, {Kind: Memory, MiB: 1},
	}})
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range s.Work {
		t.Logf("%+v", w)
		if w.Ops == 0 || w.Stuck != "" {
			t.Errorf("%s did %d operations, and is in %q", w.Kind, w.Ops, w.Stuck)
		}
	}
	after, err := count()
	if err != nil {
		t.Fatal(err)
	}
	if after.FDs > before.FDs {
		t.Errorf("%d descriptors are open, %d were", after.FDs, before.FDs)
	}
}

// Lines that are written to a terminal come out of its other side as Line makes them.
func TestLinesComeOut(t *testing.T) {
	havePtys(t)
	for _, fault := range []string{"", LoseLine, TearLine, SwapLines, TwiceLine} {
		t.Run("fault "+fault, func(t *testing.T) {
			said, s := throughPty(t, fault, 60)
			var want []byte
			for n := range 60 {
				want = Line(want, 3, 2, n)
			}
			if s.Work[0].Ops != 60 || (string(said) == string(want)) != (fault == "") {
				t.Errorf("%d lines, %d bytes came out, %d are right", s.Work[0].Ops, len(said), len(want))
			}
		})
	}
}

// throughPty writes n lines of writer 2 to a pseudo-terminal, and gives what came out.
func throughPty(t *testing.T, fault string, n int) ([]byte, Storm) {
	t.Helper()
	fd, path, err := openMaster()
	if err != nil {
		t.Fatal(err)
	}
	master := os.NewFile(uintptr(fd), "master")
	defer master.Close()
	slave, err := os.OpenFile(path, os.O_RDWR, 0) // or what was said is gone with its writer
	if err != nil {
		t.Fatal(err)
	}
	defer slave.Close()
	a := StormArgs{Seed: 3, GraceS: 20, Workers: []Worker{{Kind: Lines, Path: path, Count: n, Writer: 2}}}
	if fault != "" {
		a.Fault = &Fault{Name: fault, Every: 5}
	}
	s, err := brew(t.Context(), a)
	if err != nil {
		t.Fatal(err)
	}
	var said []byte
	buf := make([]byte, 4096)
	for master.SetReadDeadline(time.Now().Add(200*time.Millisecond)) == nil {
		n, err := master.Read(buf)
		if said = append(said, buf[:n]...); err != nil {
			break
		}
	}
	return said, s
}

// A call that does not return is told of, and what else was under way ends.
func TestStuckThreadIsToldOf(t *testing.T) {
	havePtys(t)
	a := StormArgs{Seed: 1, DurationS: .05, GraceS: .2, Workers: []Worker{{Kind: Memory, MiB: 1}}, Fault: &Fault{Name: NeverWoken, Every: 1}}
	began := time.Now()
	s, err := brew(t.Context(), a)
	if err != nil {
		t.Fatal(err)
	}
	if w := s.Work[0]; w.Stuck != "mmap" || w.InS < .2 {
		t.Errorf("%+v", w)
	}
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("it took %v", took)
	}
}

func TestLeakedDescriptorIsCounted(t *testing.T) {
	havePtys(t)
	before, err := count()
	if err != nil {
		t.Fatal(err)
	}
	a := StormArgs{Seed: 1, GraceS: 20, Workers: []Worker{{Kind: Opens, Path: "/dev/null", Count: 3, Endures: true}}, Fault: &Fault{Name: LeakFD, Every: 1}}
	if _, err := brew(t.Context(), a); err != nil {
		t.Fatal(err)
	}
	if after, err := count(); err != nil || after.FDs < before.FDs+3 {
		t.Errorf("%d descriptors, %d before, %v", after.FDs, before.FDs, err)
	}
}

// A process that is made without a program does what its script says.
func TestSpawn(t *testing.T) {
	began := time.Now()
	for range 20 {
		pid, err := spawn(&script{act: actAbort})
		if err != nil {
			t.Fatal(err)
		}
		if err := reap(pid); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("20 processes in %v", time.Since(began))
}

func TestStormArgs(t *testing.T) {
	ok := Worker{Kind: Memory, Count: 1}
	for want, a := range map[string]StormArgs{
		"0 threads":                         {},
		`no kind "x"`:                       {Workers: []Worker{{Kind: "x", Count: 1}}},
		"65 threads in all":                 {Workers: []Worker{{Kind: Ptys, Threads: 65, Count: 1}}},
		"a count of 0":                      {Workers: []Worker{{Kind: Ptys}}},
		"a count of 1048577":                {Workers: []Worker{{Kind: Ptys, Count: MaxLines + 1}}},
		"writers 4 to 5, there are 5":       {Workers: []Worker{{Kind: Lines, Threads: 2, Writer: 4, Count: 1}}},
		"2000 MiB":                          {Workers: []Worker{{Kind: Memory, MiB: 2000, Count: 1}}},
		"for 7200 s":                        {DurationS: 7200, Workers: []Worker{ok}},
		`fault "none", one in 1: want one`:  {Workers: []Worker{ok}, Fault: &Fault{"none", 1}},
		`fault "panic", one in 0: want one`: {Workers: []Worker{ok}, Fault: &Fault{Panic, 0}},
		"workers[0]: nothing to set":        {Workers: []Worker{{Kind: Sets, Count: 1}}},
	} {
		if _, err := brew(t.Context(), a); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}
