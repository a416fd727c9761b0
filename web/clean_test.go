package web

import (
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"
)

func TestCleaner(t *testing.T) {
	for name, tc := range map[string]struct{ in, want string }{
		"plain":               {"login: root\n", "login: root\n"},
		"line ends":           {"a\r\nb\r\r\nc\n", "a\nb\nc\n"},
		"written over":        {"10%\r20%\r\n", "10%\n20%\n"},
		"colour":              {"\x1b[1;31mred\x1b[0m", "red"},
		"8-bit CSI":           {"a\u009b31mb", "ab"},
		"title by BEL":        {"a\x1b]0;evil\x07b", "ab"},
		"title by ST":         {"a\x1b]0;evil\x1b\\b", "ab"},
		"charset":             {"\x1b(Bok\x1b)0", "ok"},
		"cursor and clear":    {"\x1b[2J\x1b[H\x1bcok", "ok"},
		"controls are shown":  {"a\x00b\x07c\x7f", "a␀b␇c␡"},
		"C1 is shown":         {"a\u0085b", "a<U+0085>b"},
		"reordering is shown": {"a\u202eb\u2066c\ufeff", "a<U+202E>b<U+2066>c<U+FEFF>"},
		"not UTF-8":           {"a\xff\xfeb", "a\ufffd\ufffdb"},
		"line ends a string":  {"\x1b]0;never closed\nnext", "\nnext"},
		"tab stays":           {"a\tb", "a\tb"},
		"emoji of three":      {"👩\u200d💻", "👩\u200d💻"},
	} {
		if got := visibleText(tc.in); got != tc.want {
			t.Errorf("%s: %q becomes %q, want %q", name, tc.in, got, tc.want)
		}
	}
	endless := "\x1b]" + strings.Repeat("x", 10*maxEscape)
	if got := visibleText(endless); len(got) < 8*maxEscape {
		t.Errorf("an unclosed sequence hides %d of %d bytes", len(endless)-len(got), len(endless))
	}
	if got := visible("two\nlines\tand a tab"); got != "two lines and a tab" {
		t.Errorf("one line: %q", got)
	}
}

// FuzzCleaner checks that nothing harmful gets through, and that it does not
// matter in which pieces the text comes.
func FuzzCleaner(f *testing.F) {
	f.Add([]byte("a\x1b[31mb\r\n\xc3\xa9\x1b]0;t\x07"), 3)
	f.Add([]byte("\xe2\x80\xae\x1b\x1b\x9b"), 1)
	f.Fuzz(func(t *testing.T, in []byte, cut int) {
		var whole, pieces cleaner
		want := whole.Clean(in)
		at := min(max(cut, 0), len(in))
		got := pieces.Clean(in[:at]) + pieces.Clean(in[at:])
		if got != want || whole.pending() != pieces.pending() {
			t.Errorf("cut at %d: %q, whole %q", at, got, want)
		}
		if !utf8.ValidString(want) {
			t.Errorf("not UTF-8: %q", want)
		}
		for _, r := range want {
			if unicode.IsControl(r) && r != '\n' && r != '\t' || reorders(r) {
				t.Errorf("%q gets through in %q", r, want)
			}
		}
	})
}

func TestWordsForNumbers(t *testing.T) {
	for in, want := range map[float64]string{0: "0 ms", 0.0421: "42 ms", 1.204: "1.20 s", 39.44: "39.4 s", 59.99: "1 min 00 s", 64: "1 min 04 s", 3725: "1 h 02 min"} {
		if got := duration(in); got != want {
			t.Errorf("duration %v: %q, want %q", in, got, want)
		}
	}
	for in, want := range map[time.Duration]string{-time.Second: "0 s", 42 * time.Second: "42 s", 90 * time.Minute: "1 h",
		47 * time.Hour: "47 h", 60 * 24 * time.Hour: "60 d", 100 * 24 * time.Hour: "3 mo", 400 * 24 * time.Hour: "1 y 1 mo"} {
		if got := age(in); got != want {
			t.Errorf("age %v: %q, want %q", in, got, want)
		}
	}
	for in, want := range map[float64]string{0.99999: "99.9 %", 1: "100.0 %", 0.5: "50.0 %"} {
		if got := percent(in); got != want {
			t.Errorf("percent %v: %q, want %q", in, got, want)
		}
	}
	for in, want := range map[int]string{7: "7", 1234: "1\u202f234", 1234567: "1\u202f234\u202f567", -123: "-123"} {
		if got := number(in); got != want {
			t.Errorf("number %d: %q, want %q", in, got, want)
		}
	}
}
