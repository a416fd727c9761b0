package kyua

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/headwatch/headwatch/suites"
	"github.com/headwatch/headwatch/suites/kyua/guest"
)

type part struct {
	suites.Result
	Output string
}

// perform runs the suite's case and returns the results of its parts.
func perform(t *testing.T, g suites.Guest, opt Options) (map[string]part, error) {
	t.Helper()
	parts := map[string]part{}
	opt.Scratch = t.TempDir()
	opt.Env = append(opt.Env, "HOME="+t.TempDir())
	c := Suite(opt).Cases[0]
	err := c.Run(t.Context(), &suites.T{Guest: g, Report: func(r suites.Result) error {
		if _, twice := parts[r.Case]; twice {
			t.Errorf("%s is reported twice", r.Case)
		}
		parts[r.Case] = part{r, r.Output}
		return nil
	}})
	if left, _ := os.ReadDir(opt.Scratch); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
	return parts, err
}

func TestSuite(t *testing.T) {
	dir := sample(t)
	g := newHere(t)
	parts, err := perform(t, g, Options{Dir: dir, Timeout: time.Minute,
		Expected: list(t, "cases_test:fails # PR 1\nsub.last_test:main\nsub.last_test:gone\n")})
	if err != nil {
		t.Fatal(err)
	}
	for id, want := range sampleCases {
		if id == "cases_test:fails" {
			want.status, want.reason = suites.ExpectedFailure, "two and two is five (failed; listed at xfail-list:1, PR 1)"
		}
		if p := parts["kyua/"+id]; p.Status != want.status || p.Reason != want.reason {
			t.Errorf("%s: %+v", id, p)
		}
	}
	gone := parts["kyua/sub.last_test:gone"]
	if gone.Status != suites.Broken || gone.Reason != "vanished: listed as an expected failure at xfail-list:3" || len(parts) != len(sampleCases)+1 {
		t.Errorf("%d parts, %+v", len(parts), gone)
	}
	if p := parts["kyua/sub/last_test:main"]; p.Output != "unexpectedly passed: listed as an expected failure at xfail-list:2" {
		t.Errorf("%+v", p)
	}
	if p := parts["kyua/plain_test:main"]; p.Output != "--- standard output, 6 bytes ---\nplain\n\n" {
		t.Errorf("%q", p.Output)
	}
	if p := parts["kyua/cases_test:hangs"]; p.Duration < time.Second {
		t.Errorf("%+v", p)
	}
}

func TestSuiteFilters(t *testing.T) {
	dir := sample(t)
	g := newHere(t)
	parts, err := perform(t, g, Options{Dir: dir, Timeout: time.Minute, Filters: []string{"sub", "cases_test:passes"}})
	if err != nil || len(parts) != 2 {
		t.Errorf("%v, %+v", err, parts)
	}
	parts, err = perform(t, g, Options{Dir: dir, Timeout: time.Minute, Filters: []string{"sub", "cases_test:none"}})
	check(t, "unused filter", err, `no test case is selected by the filter "cases_test:none"`)
	if len(parts) != 0 {
		t.Errorf("%+v", parts)
	}
}

func TestSuiteSkipped(t *testing.T) {
	atfShell(t)
	empty := t.TempDir()
	for want, opt := range map[string]Options{
		"kyua is not installed": {Dir: empty, Env: []string{"PATH=" + empty}},
		"no tests are installed: there is no " + empty + "/Kyuafile": {Dir: empty},
	} {
		_, err := perform(t, newHere(t), opt)
		if status, reason := suites.Classify(err); status != suites.Skipped || reason != want {
			t.Errorf("%v %q, want %q", status, reason, want)
		}
	}
}

// Whatever ends kyua before its time is broken, with its last words.
func TestSuiteBroken(t *testing.T) {
	dir := sample(t)
	_, err := perform(t, newHere(t), Options{Dir: dir, Timeout: 300 * time.Millisecond, Filters: []string{"cases_test:hangs"}})
	if status, reason := suites.Classify(err); status != suites.Broken || !strings.HasPrefix(reason, "kyua was stopped after 0s; its last words: ") || !strings.HasSuffix(reason, "kyua: E: Interrupted by signal 15.") {
		t.Errorf("%v %q", status, reason)
	}
	if err := os.WriteFile(filepath.Join(dir, "Kyuafile"), []byte("syntax(2)\nnonsense{}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = perform(t, newHere(t), Options{Dir: dir, Timeout: time.Minute})
	if status, reason := suites.Classify(err); status != suites.Broken || !strings.HasPrefix(reason, "kyua exited with 2; its last words: kyua: E: Load of 'Kyuafile' failed") {
		t.Errorf("%v %q", status, reason)
	}
	err = Suite(Options{}).Cases[0].Run(t.Context(), &suites.T{Guest: newHere(t)})
	check(t, "no place for results", err, "results of parts cannot be recorded here")
}

// A guest that dies takes the results with it; what it was doing is known.
func TestSuiteGuestDies(t *testing.T) {
	dir := sample(t)
	g := newHere(t)
	said, died := "", errors.New("the agent's stream is closed")
	g.alter = func(op string, answer any) (any, error) {
		if strings.HasSuffix(said, "->  ") {
			return nil, died
		}
		if p, ok := answer.(guest.Progress); ok {
			said += p.Log
		}
		return answer, nil
	}
	_, err := perform(t, g, Options{Dir: dir, Timeout: time.Minute, Filters: []string{"cases_test:hangs"}})
	check(t, "dead guest", err, "while kyua ran cases_test:hangs: kyua/poll: the agent's stream is closed")
}

func TestSuiteStops(t *testing.T) {
	dir := sample(t)
	g := newHere(t)
	ctx, cancel := context.WithCancel(t.Context())
	g.alter = func(op string, answer any) (any, error) {
		if op == guest.OpPoll {
			cancel()
		}
		return answer, nil
	}
	opt := Options{Dir: dir, Filters: []string{"cases_test:hangs"}, Env: []string{"HOME=" + t.TempDir()}}
	err := Suite(opt).Cases[0].Run(ctx, &suites.T{Guest: g, Report: func(suites.Result) error { return nil }})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

// A results file that is not what the agent said is refused.
func TestSuiteFetch(t *testing.T) {
	dir := sample(t)
	for want, alter := range map[string]func(any) any{
		"kyua's results: a file of 0 bytes: want 1 to 268435456": func(a any) any {
			if p, ok := a.(guest.Progress); ok && p.End != nil {
				end := *p.End
				end.Bytes, p.End = 0, &end
				return p
			}
			return a
		},
		"kyua's results: 3 bytes at byte 0 of": func(a any) any {
			if c, ok := a.(guest.Chunk); ok {
				return guest.Chunk{Data: c.Data[:3]}
			}
			return a
		},
		" bytes arrived with the digest ": func(a any) any {
			if c, ok := a.(guest.Chunk); ok {
				c.Data[len(c.Data)/2] ^= 1
			}
			return a
		},
		"the agent's answer goes back from byte ": func(a any) any {
			if p, ok := a.(guest.Progress); ok && p.End == nil {
				p.Next = -p.Next
				return p
			}
			return a
		},
	} {
		g := newHere(t)
		g.alter = func(_ string, answer any) (any, error) { return alter(answer), nil }
		parts, err := perform(t, g, Options{Dir: dir, Timeout: time.Minute, Filters: []string{"sub"}})
		if status, reason := suites.Classify(err); status != suites.Broken || !strings.Contains(reason, want) || len(parts) != 0 {
			t.Errorf("%v %q, want %q", status, reason, want)
		}
	}
}

// An error of whoever keeps the results ends the case.
func TestSuiteReportFails(t *testing.T) {
	full, n := errors.New("disk full"), 0
	s := session{}
	err := s.tell(&suites.T{Report: func(suites.Result) error { n++; return full }}, Outcome{Cases: make([]Case, 3)})
	if !errors.Is(err, full) || n != 1 {
		t.Errorf("%v after %d", err, n)
	}
	if diff := cmp.Diff("", text(Case{})); diff != "" {
		t.Error(diff)
	}
}

// Results are not compared across lists that judge otherwise; which tests run does
// not matter to one of them.
func TestVersionFollowsTheList(t *testing.T) {
	list := func(text string) List {
		l, err := ParseList("list", strings.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	plain := Suite(Options{}).Version
	if other := Suite(Options{Filters: []string{"bin/cat"}}).Version; other != plain {
		t.Error("a filter changes what results mean")
	}
	a, b := Suite(Options{Expected: list("bin.cat.cat_test:align\n")}).Version, Suite(Options{Expected: list("bin/cat/cat_test:align # known\n")}).Version
	if a == plain || a != b {
		t.Errorf("version %d without a list, %d and %d with one written twice", plain, a, b)
	}
	if Suite(Options{Variables: []string{"allow_sysctl_side_effects=1"}}).Version == plain {
		t.Error("a variable changes nothing")
	}
}
