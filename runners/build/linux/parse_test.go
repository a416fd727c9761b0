package linux

import (
	"strings"
	"testing"
	"unicode"

	"github.com/google/go-cmp/cmp"
)

func TestParseCmdline(t *testing.T) {
	for _, c := range []struct {
		in, err string
		want    []string
	}{
		{"", "", nil},
		{"quiet  panic=-1\n# a comment\n\tnokaslr # why\n", "", []string{"quiet", "panic=-1", "nokaslr"}},
		{"a=b#c \"x y\"=1 z=\"# no\"\r\n", "", []string{"a=b#c", "\"x y\"=1", "z=\"# no\""}},
		{"ok\nfoo=\"bar\n", "2: unfinished quotes", nil},
		{"caf\u00e9\n", "1: kernel argument", nil},
		{"\n\na\x00b\n", "3: control character", nil},
		{"\xff", "1: not UTF-8", nil},
	} {
		got, err := parseCmdline([]byte(c.in))
		check(t, c.in, err, c.err, cmp.Diff(c.want, got))
	}
}

func TestParseModules(t *testing.T) {
	for _, c := range []struct {
		in, err string
		want    []said
	}{
		{"# none\n\n", "", nil},
		{"tcp_bbr\n  sch-fq # pacing\n", "", []said{{"tcp_bbr", 1}, {"sch-fq", 2}}},
		{"tcp_bbr sch_fq\n", "1: \"tcp_bbr sch_fq\": expected one module", nil},
		{"\n../../etc/passwd\n", "2: ", nil},
		{"a\x1bb\n", "1: control character", nil},
	} {
		got, err := parseModules([]byte(c.in))
		check(t, c.in, err, c.err, diffSaid(c.want, got))
	}
}

func TestParseSysctl(t *testing.T) {
	for _, c := range []struct {
		in, err string
		want    []setting
	}{
		{"; c\n# c\nnet.ipv4.tcp_sack=0\n net/ipv4/tcp_rmem = 4096 16384\t32768 \n", "",
			[]setting{{"net.ipv4.tcp_sack", "0"}, {"net.ipv4.tcp_rmem", "4096 16384\t32768"}}},
		{"kernel.core_pattern=|/bin/x a=b\n", "", []setting{{"kernel.core_pattern", "|/bin/x a=b"}}},
		{"net.ipv4.tcp_sack 0\n", "1: \"net.ipv4.tcp_sack 0\": expected key = value", nil},
		{"\nnet.ipv4.tcp_sack=\n", "2: ", nil},
		{"-net.ipv4.tcp_sack=0\n", "1: \"-net.ipv4.tcp_sack\": a leading -", nil},
		{"net/../../x=1\n", "1: ", nil},
		{"/proc/sys/net=1\n", "1: ", nil},
		{"net.ipv4/x=1\n", "1: \"net.ipv4/x\": write the name with dots", nil},
		{"sack=1\n", "1: ", nil},
	} {
		got, err := parseSysctl([]byte(c.in))
		var diff string
		if len(got) != len(c.want) {
			diff = "other number of settings"
		}
		for i := range min(len(got), len(c.want)) {
			if got[i] != c.want[i] {
				diff = got[i].key + "=" + got[i].value
			}
		}
		check(t, c.in, err, c.err, diff)
	}
}

func diffSaid(want, got []said) string {
	if len(want) != len(got) {
		return "other number of names"
	}
	for i := range want {
		if want[i] != got[i] {
			return got[i].word
		}
	}
	return ""
}

func check(t *testing.T, in string, err error, wantErr, diff string) {
	t.Helper()
	switch {
	case wantErr == "" && err != nil:
		t.Errorf("%q: %v", in, err)
	case wantErr == "" && diff != "":
		t.Errorf("%q: %s", in, diff)
	case wantErr != "" && (err == nil || !strings.HasPrefix(err.Error(), wantErr)):
		t.Errorf("%q: got error %v, want %q", in, err, wantErr)
	}
}

func FuzzParsers(f *testing.F) {
	for _, s := range []string{"quiet a=\"b c\" # x\n", "tcp_bbr\n", "net.ipv4.tcp_sack = 1\n", "-a.b=c", "\"", "a\x00", "\xff\xfe"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		if args, err := parseCmdline(in); err == nil {
			for _, a := range args {
				if a == "" || strings.ContainsFunc(a, func(c rune) bool { return c > unicode.MaxASCII || c < ' ' && c != '\t' }) {
					t.Errorf("argument %q", a)
				}
			}
			// What was read, written in one line, reads the same.
			again, err := parseCmdline([]byte(strings.Join(args, " ")))
			if err != nil || cmp.Diff(args, again) != "" {
				t.Errorf("%q reads back as %q, %v", args, again, err)
			}
		}
		if names, err := parseModules(in); err == nil {
			for _, n := range names {
				if !modulePattern.MatchString(n.word) || n.line < 1 {
					t.Errorf("module %+v", n)
				}
			}
		}
		if list, err := parseSysctl(in); err == nil {
			for _, s := range list {
				if strings.ContainsAny(s.key, "/ ") || strings.Contains(s.key, "..") || s.value == "" || strings.ContainsAny(s.value, "\n\x00") {
					t.Errorf("setting %+v", s)
				}
			}
		}
	})
}
