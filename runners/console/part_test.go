package console

import (
	"slices"
	"strings"
	"testing"

	"github.com/headwatch/headwatch/runners"
)

func titles(list []runners.Crash) (out []string) {
	for _, c := range list {
		out = append(out, c.Title)
	}
	return out
}

// What a case brings about itself is no crash, whatever comes then still is.
func TestExpected(t *testing.T) {
	const entered = "KDB: enter: sysctl debug.kdb.enter\n[ thread pid 1 tid 100001 ]\nStopped at  kdb_sysctl_enter+0x66:  movq  $0,0x1\ndb> c\n"
	for _, tt := range []struct {
		name, says string
		want       []string
	}{
		{"entered and left", entered + entered + "pid 7 (sh), uid 0: exited on signal 6\n", nil},
		{"a panic afterwards", entered + "panic: tty_drop\ncpuid = 1\nKDB: stack backtrace:\nKDB: enter: panic\n[ thread pid 1 tid 100001 ]\n", []string{"panic: tty_drop"}},
		{"for another reason", "KDB: enter: Break to debugger\n[ thread pid 1 tid 100001 ]\n", []string{"KDB: enter: Break to debugger"}},
	} {
		p := New(Options{}).Part(tt.name)
		p.Expect([]string{"KDB: enter: sysctl debug.kdb.enter", "stopped in the kernel debugger"})
		p.Write([]byte(tt.says))
		if got := titles(p.Crashes()); !slices.Equal(got, tt.want) {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}

// Machines that share a log are judged each by itself, and the log has all of them.
func TestParts(t *testing.T) {
	const banner = "---<<BOOT>>---\nCopyright (c) 1992-2022 The FreeBSD Project.\n"
	l := New(Options{})
	write := func(w runners.Console, text string) {
		t.Helper()
		if n, err := w.Write([]byte(text)); n != len(text) || err != nil {
			t.Fatalf("%d of %d bytes, %v", n, len(text), err)
		}
	}
	write(l, banner)
	a := l.Part("smoke/clock").(*Part)
	write(a, banner+"panic: a is bad\ncpuid = 0\nunfinished")
	b := l.Part("smoke/cpus").(*Part)
	write(b, banner+"all is well\n")
	c := l.Part("smoke/memory").(*Part)
	write(c, "panic: a is bad\n")
	if got := titles(a.Crashes()); len(got) != 1 || !strings.Contains(got[0], "a is bad") {
		t.Errorf("first part: %q", got)
	}
	if got := titles(b.Crashes()); len(got) != 0 {
		t.Errorf("second part is blamed for %q", got)
	}
	if got, want := titles(l.Crashes()), titles(a.Crashes()); !slices.Equal(got, want) {
		t.Errorf("the log has %q, want %q: each crash once, and no reset", got, want)
	}
	if a.Banners() != 1 || b.Banners() != 1 || c.Banners() != 0 {
		t.Errorf("banners %d, %d, %d", a.Banners(), b.Banners(), c.Banners())
	}
	if got, want := c.Tail(1000), "panic: a is bad\n"; got != want {
		t.Errorf("tail of the last part %q, want %q", got, want)
	}
	if got, want := l.Tail(1000), banner+"---- smoke/clock ----\n"+banner+"panic: a is bad\ncpuid = 0\nunfinished\n---- smoke/cpus ----\n"+
		banner+"all is well\n---- smoke/memory ----\npanic: a is bad\n"; got != want {
		t.Errorf("log:\n%s\nwant:\n%s", got, want)
	}
}
