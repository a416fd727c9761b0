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
