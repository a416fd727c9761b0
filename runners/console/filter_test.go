package console

import (
	"bytes"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// TestFilterFindsEveryWordAtEveryPlace: whatever the alignment and the neighbours.
func TestFilterFindsEveryWordAtEveryPlace(t *testing.T) {
	f := known().words
	for _, w := range f.words {
		for before := range 20 {
			for after := range 6 {
				for _, fill := range []string{"x", " ", "\n", "\x00", "\xff"} {
					text := strings.Repeat(fill, before) + w + strings.Repeat(fill, after)
					at := f.find([]byte(text), 0)
					if at < 0 || !strings.Contains(text[at:], w) && at > before {
						t.Fatalf("%q is not found in %q", w, text)
					}
				}
			}
		}
	}
}

func TestFilterIsASearchForAnyWord(t *testing.T) {
	words := []string{"BUG: ", "Oops: ", "panic: ", "lock order reversal", "aaaaa", "aaaaaaab"}
	f := newFilter(words)
	pieces := append([]string{"a", "aaaa", "BUG:", "pani", "c: ", "\n", " ", "DEBUG", "lock order revers", "al", "\x00"}, words...)
	rapid.Check(t, func(t *rapid.T) {
		text := []byte(strings.Join(rapid.SliceOf(rapid.SampledFrom(pieces)).Draw(t, "pieces"), ""))
		from := rapid.IntRange(0, len(text)).Draw(t, "from")
		// The first line that holds a word is what the filter must name.
		want := -1
		for _, w := range words {
			if i := bytes.Index(text[from:], []byte(w)); i >= 0 && (want < 0 || from+i < want) {
				want = from + i
			}
		}
		got := f.find(text, from)
		if (got < 0) != (want < 0) {
			t.Fatalf("find(%q, %d) = %d, want %d", text, from, got, want)
		}
		if got >= 0 && bytes.IndexByte(text[min(got, want):max(got, want)], '\n') >= 0 {
			t.Fatalf("find(%q, %d) = %d, another line than %d", text, from, got, want)
		}
	})
}

func TestLiteralsAreWhatRowsAsk(t *testing.T) {
	for _, p := range append(known().crashes, known().notices...) {
		if len(p.hints) == 0 || p.kind == 0 {
			t.Errorf("%v has no hint or kind", p.find)
		}
	}
	if n := len(Literals()); n < 100 {
		t.Errorf("%d literals", n)
	}
}

// shown collects lines.
type shown struct {
	lines []string
	all   bool
}

func (s *shown) eager() bool { return s.all }

func (s *shown) line(l []byte, at int64) {
	s.lines = append(s.lines, string(l))
	s.all = string(l) == "panic: start" || s.all && string(l) != "end"
}

// TestLinesAreTheSameHoweverCut: the same lines are shown for any split, also of
// lines longer than a piece, around a time in which every line is wanted.
func TestLinesAreTheSameHoweverCut(t *testing.T) {
	f := newFilter([]string{"panic: ", "BUG: "})
	long := strings.Repeat("y", maxLine-len("panic: "))
	pieces := []string{"panic: start\n", "end\r\n", "clean\r\n", "BUG: x", "\r", "\n", long, long + "panic: ", "\x1b[0m", "p", "anic: q\n", "other line\n"}
	rapid.Check(t, func(t *rapid.T) {
		text := []byte(strings.Join(rapid.SliceOfN(rapid.SampledFrom(pieces), 0, 12).Draw(t, "pieces"), ""))
		var whole, cut shown
		var a, b lines
		a.write(text, f, &whole)
		for rest := text; len(rest) > 0; {
			n := min(len(rest), rapid.SampledFrom([]int{1, 3, 100, maxLine, 5000}).Draw(t, "n"))
			b.write(rest[:n], f, &cut)
			rest = rest[n:]
		}
		if strings.Join(whole.lines, "|") != strings.Join(cut.lines, "|") || a.base != b.base || !bytes.Equal(a.buf, b.buf) {
			t.Fatalf("%d and %d lines, at %d and %d", len(whole.lines), len(cut.lines), a.base, b.base)
		}
		if len(b.buf) >= maxLine {
			t.Fatalf("%d bytes held", len(b.buf))
		}
	})
}
