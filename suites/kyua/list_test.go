package kyua

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/headwatch/headwatch/suites"
)

func list(t testing.TB, text string) List {
	t.Helper()
	l, err := ParseList("xfail-list", strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestParseList(t *testing.T) {
	got := list(t, "lib.msun.fma_test:main\n\n# since clang 19\nlib/libc/sys/brk_test:mlockfuture # PR 4711, slow\r\na:b:c#d\n").entries
	want := []entry{
		{"lib.msun.fma_test:main", "xfail-list:1", ""},
		{"lib/libc/sys/brk_test:mlockfuture", "xfail-list:4", "PR 4711, slow"},
		{"a:b:c#d", "xfail-list:5", ""},
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(entry{})); diff != "" {
		t.Error(diff)
	}
	for text, want := range map[string]string{
		"a:b\nfma_test":          `xfail-list:2: "fma_test" is no test case, as in lib.msun.fma_test:main`,
		":main":                  `xfail-list:1: ":main" is no test case, as in lib.msun.fma_test:main`,
		"a:":                     `xfail-list:1: "a:" is no test case, as in lib.msun.fma_test:main`,
		"a:b c":                  `xfail-list:1: "a:b c" is no test case, as in lib.msun.fma_test:main`,
		"a:\x1b[1m":              `xfail-list:1: "a:\x1b[1m" is no test case, as in lib.msun.fma_test:main`,
		"a.b:c\n\na/b:c":         `xfail-list:3: a/b:c is listed already, at xfail-list:1`,
		strings.Repeat("x", 5e3): `xfail-list:1: bufio.Scanner: token too long`,
	} {
		if _, err := ParseList("xfail-list", strings.NewReader(text)); err == nil || err.Error() != want {
			t.Errorf("%.20q: %v, want %s", text, err, want)
		}
	}
}

func TestApply(t *testing.T) {
	cases := []Case{
		{Program: "lib/a_test", Name: "good", Status: suites.Passed},
		{Program: "lib/a_test", Name: "bad", Status: suites.Failed, Reason: "no"},
		{Program: "lib/a_test", Name: "dead", Status: suites.Broken, Reason: "signal 11"},
		{Program: "lib/a_test", Name: "off", Status: suites.Skipped, Reason: "no device"},
		{Program: "lib/a_test", Name: "own", Status: suites.ExpectedFailure, Reason: "PR 1"},
	}
	type want struct {
		words             string
		passed, gone, new string
	}
	for name, c := range map[string]struct {
		list           string
		known, filters []string
		want           want
	}{
		"no list": {"", nil, nil, want{words: "good passed; bad failed: no; dead broken: signal 11; off skipped: no device; own expected_failure: PR 1"}},
		"listed and bad": {"lib.a_test:bad # PR 2\nlib/a_test:dead", nil, nil,
			want{words: "good passed; bad expected_failure: no (failed; listed at xfail-list:1, PR 2); dead expected_failure: signal 11 (broken; listed at xfail-list:2); off skipped: no device; own expected_failure: PR 1"}},
		"listed and not bad": {"lib.a_test:good\nlib.a_test:off\nlib.a_test:own", nil, nil,
			want{words: "good passed; bad failed: no; dead broken: signal 11; off skipped: no device; own expected_failure: PR 1",
				passed: "lib/a_test:good: listed as an expected failure at xfail-list:1"}},
		"listed and absent": {"lib.a_test:none\nlib.b_test:main", nil, nil,
			want{gone: "lib.a_test:none: listed as an expected failure at xfail-list:1; lib.b_test:main: listed as an expected failure at xfail-list:2"}},
		"the program's name only begins so": {"lib.a_tes:good", nil, []string{"lib/a_test"}, want{}},
		"listed, absent and filtered": {"lib.a_test:none\nlib.b_test:main\nbin.c_test:x\nlib.c.d_test:y\nlib.a_test:other", nil, []string{"lib/a_test:none", "lib/c"},
			want{gone: "lib.a_test:none: listed as an expected failure at xfail-list:1; lib.c.d_test:y: listed as an expected failure at xfail-list:4"}},
		"known": {"lib.b_test:x", []string{"lib/a_test:good", "lib.a_test:bad", "lib/b_test:x", "lib/b_test:y"}, nil,
			want{gone: "lib/b_test:x: known from earlier runs; lib/b_test:y: known from earlier runs",
				new: "lib/a_test:dead: not among the known test cases; lib/a_test:off: not among the known test cases; lib/a_test:own: not among the known test cases"}},
	} {
		o := Apply(cases, list(t, c.list), c.known, c.filters)
		got := want{passed: findings(o.UnexpectedlyPassed), gone: findings(o.Vanished), new: findings(o.New)}
		if c.want.words != "" {
			var words []string
			for _, c := range o.Cases {
				words = append(words, strings.TrimSuffix(c.Name+" "+c.Status.String()+": "+c.Reason, ": "))
			}
			got.words = strings.Join(words, "; ")
		}
		if diff := cmp.Diff(c.want, got, cmp.AllowUnexported(want{})); diff != "" {
			t.Errorf("%s:\n%s", name, diff)
		}
	}
	if cases[1].Status != suites.Failed {
		t.Error("the report's cases were changed")
	}
}

func findings(all []Finding) string {
	var s []string
	for _, f := range all {
		s = append(s, f.ID+": "+f.Why)
	}
	return strings.Join(s, "; ")
}

func FuzzParseList(f *testing.F) {
	f.Add("lib.msun.fma_test:main\n# x\na/b:c # d")
	f.Fuzz(func(t *testing.T, text string) {
		l, err := ParseList("f", strings.NewReader(text))
		if err != nil {
			return
		}
		if got := len(Apply(nil, l, nil, nil).Vanished); got != len(l.entries) {
			t.Errorf("%d of %d entries vanished", got, len(l.entries))
		}
	})
}
