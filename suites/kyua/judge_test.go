package kyua

import (
	"strings"
	"testing"

	"github.com/headwatch/headwatch/suites"
	"github.com/headwatch/headwatch/suites/kyua/guest"
)

func TestJudgeEnd(t *testing.T) {
	for name, c := range map[string]struct {
		end  guest.End
		log  string
		want string
	}{
		"all passed":      {guest.End{}, "3/3 passed (0 failed)\n", ""},
		"tests failed":    {guest.End{Exit: 1}, "1/3 passed (2 failed)\n", ""},
		"late but whole":  {guest.End{Exit: 1, TimedOut: true}, "", ""},
		"own error":       {guest.End{Exit: 2}, "a\nkyua: E: No such file.\n", "kyua exited with 2; its last words: a kyua: E: No such file."},
		"usage":           {guest.End{Exit: 3}, "", "kyua exited with 3"},
		"timeout":         {guest.End{Exit: -1, Signal: "terminated", TimedOut: true, DurationS: 60.2}, "a:b  ->  ", "kyua was stopped after 1m0s; its last words: a:b  ->"},
		"signal":          {guest.End{Exit: -1, Signal: "killed", DurationS: 5}, "", "kyua was ended by a signal, killed, after 5s"},
		"no results":      {guest.End{Fault: "kyua left no results file"}, "", "kyua left no results file"},
		"escape sequence": {guest.End{Exit: 2}, "\x1b[2Jgone", "kyua exited with 2; its last words: [2Jgone"},
		"long":            {guest.End{Exit: 2}, strings.Repeat("word ", 1000), "kyua exited with 2; its last words: " + strings.TrimSpace(strings.Repeat("word ", 60))},
	} {
		check(t, name, judgeEnd(c.end, c.log), c.want)
	}
}

func TestJudgeReport(t *testing.T) {
	good := []Case{{Program: "bin/a", Name: "x", Status: suites.Passed}, {Program: "lib/b", Name: "y", Status: suites.ExpectedFailure}}
	bad := append(good[:2:2], Case{Program: "lib/c", Name: "z", Status: suites.Broken})
	for name, c := range map[string]struct {
		exit    int
		cases   []Case
		filters []string
		want    string
	}{
		"all good":          {0, good, nil, ""},
		"one bad":           {1, bad, nil, ""},
		"selected":          {1, bad, []string{"bin", "lib/b:y", "lib/c"}, ""},
		"nothing":           {0, nil, nil, "kyua ran no tests"},
		"says bad, is good": {1, good, nil, "kyua exited with 1, and 0 of its 2 results are bad"},
		"says good, is bad": {0, bad, nil, "kyua exited with 0, and 1 of its 3 results are bad"},
		"unused folder":     {1, bad, []string{"bin", "li"}, `no test case is selected by the filter "li"`},
		"unused case":       {1, bad, []string{"bin/a:z"}, `no test case is selected by the filter "bin/a:z"`},
	} {
		check(t, name, judgeReport(c.exit, c.cases, c.filters, ""), c.want)
	}
}

// check expects an error of the rig with the given words, or none.
func check(t *testing.T, name string, err error, want string) {
	t.Helper()
	status, reason := suites.Classify(err)
	if reason != want || (want == "") != (status == suites.Passed) || status == suites.Failed {
		t.Errorf("%s: %v %q, want %q", name, status, reason, want)
	}
}

func TestUnderWay(t *testing.T) {
	for log, want := range map[string]string{
		"":                                   "",
		"a:b  ->  ":                          "a:b",
		"a:b  ->  passed  [0.1s]\n":          "",
		"a:b  ->  passed  [0.1s]":            "",
		"a:b  ->  passed  [1s]\nc/d:e  ->  ": "c/d:e",
		"\n3/3 passed":                       "",
	} {
		if got := underWay(log); got != want {
			t.Errorf("%q: %q, want %q", log, got, want)
		}
	}
}

func TestOptions(t *testing.T) {
	c := Suite(Options{}).Cases[0]
	if c.Layer != suites.Soak || c.Timeout <= defaultTimeout || c.Name != "tests" {
		t.Errorf("%+v", c)
	}
	for want, o := range map[string]Options{
		"":                    {Dir: "/t", Filters: []string{"bin", "lib/libc/sys", "a_test:x:y"}, Variables: []string{"parallelism=2", "a.b="}},
		`filter "": want`:     {Dir: "/t", Filters: []string{""}},
		`filter "-x": want`:   {Dir: "/t", Filters: []string{"-x"}},
		`filter "/a": want`:   {Dir: "/t", Filters: []string{"/a"}},
		`filter "a/": want`:   {Dir: "/t", Filters: []string{"a/"}},
		`filter "../a": want`: {Dir: "/t", Filters: []string{"../a"}},
		`filter "a:": want`:   {Dir: "/t", Filters: []string{"a:"}},
		`filter ":a": want`:   {Dir: "/t", Filters: []string{":a"}},
		`variable "x": want`:  {Dir: "/t", Env: []string{"x"}},
		`variable "=x": want`: {Dir: "/t", Variables: []string{"=x"}},
		"must be absolute":    {Dir: "t"},
		"1001 filters":        {Dir: "/t", Filters: make([]string, 1001)},
	} {
		if err := o.check(); (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}
