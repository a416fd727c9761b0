// Package kyua runs FreeBSD's own test suite in the guest, all of it or a part,
// by means of kyua(1), and makes a result of each of its test cases, in kyua's
// own words. What kyua found is in its results file, an SQLite database, which is
// fetched and read on the host. What runs inside the guest is in package guest
// below this one.
//
// The words mean what they mean to kyua: a test case is broken when it ends in a
// way that its program did not ask for, a signal or a timeout for example. The
// suite's one case of its own, "tests", is about kyua: it passes when kyua came
// to its end and its results agree with what it said, whatever its tests found.
package kyua

import (
	"errors"
	"fmt"
	"hash/fnv"
	"path"
	"strings"
	"time"

	"github.com/headwatch/headwatch/suites"
)

const (
	suiteName = "kyua"
	caseName  = "tests"

	defaultDir     = "/usr/tests"
	defaultTimeout = 4 * time.Hour // FreeBSD's CI allows 90 min, on hardware
	// around is what fetching the results and cleaning up may take beyond that.
	around     = 15 * time.Minute
	maxFilters = 1000
)

// Options say what to run. The zero value is FreeBSD's whole test suite.
type Options struct {
	Layer     suites.Layer // zero: soak
	Dir       string       // the tests' folder in the guest; empty: /usr/tests
	Filters   []string     // program, folder, or program:case, as for kyua test; none: everything
	Variables []string     // kyua's configuration, NAME=VALUE: "parallelism=2"
	Env       []string     // NAME=VALUE
	// Timeout is how long kyua may run; zero: 4 h. kyua has a timeout for each test
	// case besides.
	Timeout  time.Duration
	Expected List     // failures that are known
	Known    []string // test cases that must have results: kyua's names or the list's
	Limits   Limits
	Scratch  string // folder on the host for the results file; empty: the system's
}

// Suite is the kyua suite. It reports the result of each test case as
// "kyua/PROGRAM:CASE".
func Suite(opt Options) suites.Suite {
	if opt.Layer == 0 {
		opt.Layer = suites.Soak
	}
	if opt.Dir == "" {
		opt.Dir = defaultDir
	}
	if opt.Timeout <= 0 {
		opt.Timeout = defaultTimeout
	}
	return suites.Suite{
		Name:    suiteName,
		Version: opt.version(),
		Summary: "FreeBSD's own test suite, run by kyua",
		Cases: []suites.Case{{
			Name: caseName, Layer: opt.Layer, OSes: []string{"freebsd"}, Timeout: opt.Timeout + around,
			Summary: "kyua runs its tests to the end; each of them is a result",
			Run:     session{opt}.run,
		}},
	}
}

// version is a digest of what decides how a test case is judged. Which ones run does
// not: a case means the same beside others.
func (o Options) version() int {
	sum := fnv.New32a()
	fmt.Fprintf(sum, "%q %q %q", o.Dir, o.Variables, o.Env)
	for _, e := range o.Expected.entries {
		fmt.Fprintf(sum, " %q", dotted(e.id))
	}
	return int(sum.Sum32())
}

// check refuses what kyua would refuse, or take for an option.
func (o Options) check() error {
	if len(o.Filters) > maxFilters {
		return fmt.Errorf("%d filters: at most %d", len(o.Filters), maxFilters)
	}
	for _, f := range o.Filters {
		program, test, one := strings.Cut(f, ":")
		if path.Clean(program) != program || strings.HasPrefix(program, "/") || strings.HasPrefix(program, ".") || strings.HasPrefix(program, "-") ||
			!isName(program) || one && !isName(test) {
			return fmt.Errorf("filter %q: want a program or a folder below %s, or program:case", f, o.Dir)
		}
	}
	for _, v := range append(append([]string(nil), o.Variables...), o.Env...) {
		if name, _, ok := strings.Cut(v, "="); !ok || name == "" || strings.ContainsRune(v, 0) {
			return fmt.Errorf("variable %q: want NAME=VALUE", v)
		}
	}
	if !path.IsAbs(o.Dir) {
		return errors.New("the tests' folder must be absolute")
	}
	return nil
}
