package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"io/fs"
	"maps"
	"math"
	"os"
	"slices"
	"time"

	"github.com/headwatch/headwatch/suites"
)

// execution is one line of alarms.jsonl.
type execution struct {
	At      time.Time `json:"at"`
	Version string    `json:"version"` // of headwatch
	Target  string    `json:"target"`
	Image   string    `json:"image"`
	Machine string    `json:"machine"`
	Case    string    `json:"case"`
	Status  string    `json:"status"`
	Seed    uint64    `json:"seed"`
	Reason  string    `json:"reason,omitempty"`
	Seconds float64   `json:"duration_s"`
}

// alarmRow sums the executions of a case.
type alarmRow struct {
	Case    string  `json:"case"`
	Passed  int     `json:"passed"`
	Failed  int     `json:"failed"`
	Broken  int     `json:"broken"`
	Skipped int     `json:"skipped"`
	Limit   float64 `json:"limit"`  // upper 95 % limit of the rate of failures
	Seconds float64 `json:"mean_s"` // that an execution took
}

// ran is how often the case was executed, whatever came of it.
func (r alarmRow) ran() int { return r.Passed + r.Failed + r.Broken + r.Skipped }

// readExecutions reads what was added before for a target. A last line that a kill cut
// off is left out.
func readExecutions(path, target string) (all []execution, err error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var e execution
		if json.Unmarshal(lines.Bytes(), &e) == nil && e.Target == target {
			all = append(all, e)
		}
	}
	return all, lines.Err()
}

func appendExecutions(path string, all []execution) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
	if err != nil {
		return err
	}
	out := json.NewEncoder(f)
	for _, e := range all {
		if err := out.Encode(e); err != nil {
			return errors.Join(err, f.Close())
		}
	}
	return f.Close()
}

// sumExecutions counts by case.
func sumExecutions(all []execution) []alarmRow {
	byCase := map[string]*alarmRow{}
	for _, e := range all {
		r := byCase[e.Case]
		if r == nil {
			r = &alarmRow{Case: e.Case}
			byCase[e.Case] = r
		}
		switch e.Status {
		case suites.Passed.String():
			r.Passed++
		case suites.Failed.String():
			r.Failed++
		case suites.Skipped.String():
			r.Skipped++
		default:
			r.Broken++
		}
		r.Seconds += e.Seconds
	}
	var out []alarmRow
	for _, name := range slices.Sorted(maps.Keys(byCase)) {
		r := byCase[name]
		r.Seconds /= float64(r.ran())
		r.Limit = failureLimit(r.Failed, r.Passed+r.Failed)
		out = append(out, *r)
	}
	return out
}

// failureLimit is the rate of failures that k of n or fewer would have with 5 % only; for
// none of many it is 3/n.
func failureLimit(k, n int) float64 {
	lo, hi := 0.0, 1.0
	for range 60 {
		p := (lo + hi) / 2
		sum, term := 0.0, math.Pow(1-p, float64(n))
		for i := 0; i <= k; i++ {
			sum += term
			term *= float64(n-i) / float64(i+1) * p / (1 - p)
		}
		if sum > .05 {
			lo = p
		} else {
			hi = p
		}
	}
	return hi
}
