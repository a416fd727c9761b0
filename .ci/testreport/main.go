// Command testreport runs `go test -json` with its arguments and prints what
// people want of it: a line per package as it ends, failures in full, and at the
// end every skipped test with its reason. It exits 1 when a test or a package
// failed, when go itself did, or when no test ran: a stream that just ends is no
// pass.
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"
)

// event is one line of test2json; see `go doc test2json`.
type event struct {
	Action     string
	Package    string
	ImportPath string // of build output
	Test       string
	Output     string
	Elapsed    float64
}

// report is what has been seen so far.
type report struct {
	out                     io.Writer
	began                   time.Time
	output                  map[string][]string // "package test" → lines
	passed, failed, skipped int
	badPackages             []string
	skips                   []string
}

func main() {
	r := &report{out: os.Stdout, began: time.Now(), output: map[string][]string{}}
	test := exec.Command("go", append([]string{"test", "-json"}, os.Args[1:]...)...)
	test.Stderr = os.Stderr
	out, err := test.StdoutPipe()
	if err == nil {
		err = test.Start()
	}
	if err == nil {
		err = r.read(out)
		err = errors.Join(err, test.Wait())
	}
	code := r.close()
	if err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, "testreport: go test:", err)
		code = 1
	}
	os.Exit(code)
}

// read reports a stream of events as it comes. After an error it reads on, so that
// the writer does not block.
func (r *report) read(from io.Reader) error {
	in := bufio.NewScanner(from)
	in.Buffer(nil, 16<<20)
	for in.Scan() {
		var e event
		if json.Unmarshal(in.Bytes(), &e) != nil {
			fmt.Fprintln(r.out, in.Text()) // not go test's: a tool's own complaint
			continue
		}
		r.see(e)
	}
	_, err := io.Copy(io.Discard, from)
	return errors.Join(in.Err(), err)
}

func (r *report) see(e event) {
	key := e.Package + " " + e.Test
	switch e.Action {
	case "output":
		if !strings.HasPrefix(e.Output, "=== ") {
			r.output[key] = append(r.output[key], e.Output)
		}
	case "build-output":
		fmt.Fprint(r.out, e.Output)
	case "pass", "fail", "skip":
		if e.Test == "" {
			r.endPackage(e)
		} else {
			r.endTest(e, key)
		}
		delete(r.output, key)
	}
}

func (r *report) endTest(e event, key string) {
	switch e.Action {
	case "pass":
		r.passed++
	case "skip":
		r.skipped++
		r.skips = append(r.skips, fmt.Sprintf("%s %s: %s", e.Package, e.Test, reason(r.output[key])))
	case "fail":
		r.failed++
		fmt.Fprintf(r.out, "\nFAIL %s %s\n%s\n", e.Package, e.Test, strings.Join(r.output[key], ""))
	}
}

// reason finds what a test said when it skipped itself.
func reason(lines []string) string {
	for _, l := range slices.Backward(lines) {
		l = strings.TrimSpace(l)
		if l == "" || strings.HasPrefix(l, "---") || strings.HasPrefix(l, "===") {
			continue
		}
		if _, text, ok := strings.Cut(l, ".go:"); ok {
			if _, text, ok = strings.Cut(text, ": "); ok {
				return text
			}
		}
		return l
	}
	return "no reason given"
}

func (r *report) endPackage(e event) {
	word := "ok  "
	switch e.Action {
	case "fail":
		word = "FAIL"
		r.badPackages = append(r.badPackages, e.Package)
		if out := r.output[e.Package+" "]; len(out) > 0 {
			fmt.Fprint(r.out, strings.Join(out, ""))
		}
	case "skip":
		return // no test files
	}
	fmt.Fprintf(r.out, "%s %6.1fs %s\n", word, e.Elapsed, e.Package)
}

func (r *report) close() int {
	if len(r.skips) > 0 {
		fmt.Fprintf(r.out, "\nskipped:\n")
		slices.Sort(r.skips)
		for _, s := range r.skips {
			fmt.Fprintf(r.out, "  %s\n", s)
		}
	}
	fmt.Fprintf(r.out, "\n%s\n", time.Since(r.began).Round(100*time.Millisecond))
	if len(r.badPackages) > 0 {
		fmt.Fprintf(r.out, "failed packages: %s\n", strings.Join(r.badPackages, " "))
	}
	fmt.Fprintf(r.out, "%d passed, %d failed, %d skipped\n", r.passed, r.failed, r.skipped)
	if r.failed > 0 || len(r.badPackages) > 0 || r.passed == 0 {
		return 1
	}
	return 0
}
