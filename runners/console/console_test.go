package console

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// describe is the golden form: what a person would check.
func describe(l *Log) string {
	var b strings.Builder
	fmt.Fprintf(&b, "phase: %s\n", l.Phase().Title())
	if n := l.Banners(); n > 1 {
		fmt.Fprintf(&b, "banners: %d\n", n)
	}
	if l.Arriving() {
		fmt.Fprintln(&b, "a report is still arriving")
	}
	for _, f := range l.Findings() {
		fmt.Fprintf(&b, "noticed %d, %s: %s\n", f.Count, f.Kind, f.Title)
	}
	for _, c := range l.Crashes() {
		word := "warning"
		if c.Fatal {
			word = "fatal"
		}
		if c.Stall {
			word += ", stall"
		}
		fmt.Fprintf(&b, "%s, %s: %s (%d lines, %s)\n", word, c.Kind, c.Title, strings.Count(c.Text, "\n"), c.Signature[:8])
		if c.Where != "" {
			fmt.Fprintf(&b, "  where: %s\n", c.Where)
		}
		for _, f := range c.Frames {
			fmt.Fprintf(&b, "  frame: %s+%#x", f.Func, f.Offset)
			if f.Addr != 0 {
				fmt.Fprintf(&b, " at %#x", f.Addr)
			}
			if f.Module != "" {
				fmt.Fprintf(&b, " of %s", f.Module)
			}
			b.WriteByte('\n')
		}
	}
	return b.String()
}

func TestCorpus(t *testing.T) {
	logs, err := filepath.Glob("testdata/*.log")
	if err != nil || len(logs) == 0 {
		t.Fatalf("no corpus: %v", err)
	}
	for _, path := range logs {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".log"), func(t *testing.T) {
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			// However the bytes are cut, the findings are the same.
			var got string
			for _, size := range []int{len(text), 1, 7, 100} {
				l := New(Options{})
				for p := text; len(p) > 0; p = p[min(size, len(p)):] {
					l.Write(p[:min(size, len(p))])
				}
				if d := describe(l); got == "" {
					got = d
				} else if d != got {
					t.Errorf("written in pieces of %d:\n%s", size, cmp.Diff(got, d))
				}
			}
			golden := strings.TrimSuffix(path, ".log") + ".golden"
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(string(want), got); d != "" {
				t.Error(d)
			}
		})
	}
}

func crashesOf(t *testing.T, path string) []string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	l := New(Options{})
	l.Write(text)
	var sigs []string
	for _, c := range l.Crashes() {
		sigs = append(sigs, c.Signature)
	}
	return sigs
}

func TestSameBugOfAnotherBootHasTheSameSignature(t *testing.T) {
	a, b := crashesOf(t, "testdata/freebsd_trap.log"), crashesOf(t, "testdata/freebsd_trap_again.log")
	if len(a) != 1 || cmp.Diff(a, b) != "" {
		t.Errorf("signatures %v and %v", a, b)
	}
}

func TestReportThatIsSaidTwiceIsOneCrash(t *testing.T) {
	text, err := os.ReadFile("testdata/linux_warning_then_more.log")
	if err != nil {
		t.Fatal(err)
	}
	l := New(Options{})
	l.Write(text)
	n := len(l.Crashes())
	l.Write(text)
	if got := len(l.Crashes()); got != n {
		t.Errorf("%d crashes, want %d", got, n)
	}
}

func TestAgentDeath(t *testing.T) {
	text, err := os.ReadFile("testdata/linux_agent_died.log")
	if err != nil {
		t.Fatal(err)
	}
	want := "panic: runtime error: invalid memory address or nil pointer dereference"
	if got := AgentDeath(string(text)); got != want {
		t.Errorf("got %q", got)
	}
	if got := AgentDeath("panic: page fault\nKDB: stack backtrace:\n"); got != "" {
		t.Errorf("a kernel's panic is the agent's death: %q", got)
	}
}

func TestPhases(t *testing.T) {
	for _, c := range []struct {
		said string
		want Phase
	}{
		{"", NoOutput},
		{"\r\n", NoOutput},
		{"x7^?", Unrecognized},
		{"SeaBIOS (version 1.16)\r\n", Firmware},
		{"SeaBIOS (v)\nLoading /boot/defaults/loader.conf\n", Loader},
		{"[    0.000000] Linux version 6.1\n[ 0.1] foo\n", Kernel},
		{"Linux version 6.1\n[ 2.2] Run /init as init process\n", Init},
		{"The FreeBSD Project.\nTrying to mount root from ufs:\n", MountRoot},
		{"The FreeBSD Project.\nTrying to mount root from ufs:\n\nmountroot> ", Prompt},
		{"The FreeBSD Project.\nmountroot> ufs:/dev/ada0\nstart_init: trying /sbin/init\n", Init},
		{"The FreeBSD Project.\nKDB: enter: panic\ndb> ", Debugger},
	} {
		var p Phases
		p.Write([]byte(c.said))
		if got := p.Last(); got != c.want {
			t.Errorf("%q: %s, want %s", c.said, got.Title(), c.want.Title())
		}
	}
}

func FuzzScanner(f *testing.F) {
	logs, _ := filepath.Glob("testdata/*.log")
	for _, path := range logs {
		if text, err := os.ReadFile(path); err == nil {
			f.Add(text, uint16(7))
		}
	}
	f.Fuzz(func(t *testing.T, text []byte, cut uint16) {
		whole, parts := New(Options{}), New(Options{})
		whole.Write(text)
		n := min(int(cut), len(text))
		parts.Write(text[:n])
		parts.Crashes() // looking changes nothing
		parts.Write(text[n:])
		if d := cmp.Diff(whole.Crashes(), parts.Crashes()); d != "" {
			t.Errorf("cut at %d: %s", n, d)
		}
		if d := cmp.Diff(whole.Findings(), parts.Findings()); d != "" || whole.Banners() != parts.Banners() || whole.Phase() != parts.Phase() {
			t.Errorf("cut at %d: %s", n, d)
		}
		for _, c := range whole.Crashes() {
			if c.Kind == 0 || len(c.Frames) > maxFrames {
				t.Errorf("bad kind or frames %+v", c)
			}
			if c.Title == "" || len(c.Title) > 600 || len(c.Signature) != 32 || len(c.Text) > maxReportBytes+maxLine {
				t.Errorf("bad crash %+v", c)
			}
		}
	})
}
