package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/headwatch/headwatch/orchestrator/verdict"
)

// mostInput bounds what detect reads.
const mostInput = 64 << 20

// namedSeries is a series as it was given.
type namedSeries struct {
	verdict.Metric
	labels []string // of the values; nil: none
	order  string   // what the labels are called, which says whether they ascend
	where  string   // for messages: "file", "file: series x"
	lines  []int    // of the values, for messages; nil: not by line
}

// check says in one line what is wrong with a series.
func (s namedSeries) check() error {
	if len(s.Values) >= verdict.LeastPoints {
		if err := s.checkLabels(); err != nil {
			return fmt.Errorf("%s: %w", s.where, err)
		}
	}
	if err := s.Metric.Check(); err != nil {
		return fmt.Errorf("%s: %w", s.where, err)
	}
	return nil
}

// checkLabels looks for labels that occur twice, and for those that ought to ascend
// and do not: numbers and times, not commits and names.
func (s namedSeries) checkLabels() error {
	seen := map[string]int{}
	last, lastAt := 0.0, -1
	for i, l := range s.labels {
		if j, twice := seen[l]; twice {
			return fmt.Errorf("%s: duplicate %s %q, as in %s", s.place(i), s.order, l, s.place(j))
		}
		seen[l] = i
		if s.order == "commit" || s.order == "label" {
			continue
		}
		key, ok := orderOf(l)
		if !ok {
			return fmt.Errorf("%s: %s %q is neither a number nor a time such as 2006-01-02 or 2006-01-02T15:04:05Z", s.place(i), s.order, l)
		}
		if lastAt >= 0 && key <= last {
			return fmt.Errorf("%s: %s %q is not after %q in %s: want the oldest first", s.place(i), s.order, l, s.labels[lastAt], s.place(lastAt))
		}
		last, lastAt = key, i
	}
	return nil
}

func (s namedSeries) place(i int) string {
	if s.lines != nil {
		return fmt.Sprintf("line %d", s.lines[i])
	}
	return fmt.Sprintf("value %d", i)
}

// orderOf makes a number of a label that is one, or a time.
func orderOf(label string) (float64, bool) {
	if x, err := strconv.ParseFloat(label, 64); err == nil && !math.IsNaN(x) {
		return x, true
	}
	for _, layout := range []string{time.RFC3339, time.DateOnly, time.DateTime} {
		if t, err := time.Parse(layout, label); err == nil {
			return float64(t.UnixMicro()), true
		}
	}
	return 0, false
}

// readSeries reads a file, or standard input when there is none.
func readSeries(args []string, stdin io.Reader) ([]namedSeries, error) {
	name, in := "standard input", stdin
	if len(args) > 0 && args[0] != "-" {
		f, err := os.Open(args[0])
		if err != nil {
			return nil, err
		}
		defer f.Close()
		name, in = args[0], f
	}
	raw, err := io.ReadAll(io.LimitReader(in, mostInput+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("%s: %w", name, err)
	case len(raw) > mostInput:
		return nil, fmt.Errorf("%s: more than %d MiB: give fewer series at once", name, mostInput>>20)
	}
	raw = bytes.TrimSpace(bytes.TrimPrefix(raw, []byte("\ufeff")))
	var out []namedSeries
	switch {
	case len(raw) == 0:
		return nil, fmt.Errorf("%s: empty: want a JSON array of numbers, or one number per line", name)
	case raw[0] == '[' || raw[0] == '{':
		out, err = seriesOfJSON(raw)
	default:
		out, err = seriesOfCSV(raw)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("%s: no series in it", name)
	}
	for i := range out {
		out[i].where = name
		if out[i].Name != "" {
			out[i].where += fmt.Sprintf(": series %q", out[i].Name)
		}
	}
	return out, nil
}

// jsonSeries is a series with what belongs to it.
type jsonSeries struct {
	Name     string     `json:"name"`
	Quantity string     `json:"quantity"`
	Least    float64    `json:"least"` // share of the old level
	Labels   []string   `json:"labels"`
	Values   []*float64 `json:"values"`
}

func seriesOfJSON(raw []byte) ([]namedSeries, error) {
	var list []json.RawMessage
	if raw[0] == '[' {
		if err := decode(raw, &list); err != nil {
			return nil, err
		}
	}
	var given []jsonSeries
	switch {
	case raw[0] == '{':
		named := map[string][]*float64{}
		if err := decode(raw, &named); err != nil {
			return nil, fmt.Errorf("%w; want {\"name\": [numbers], …}", err)
		}
		for _, n := range slices.Sorted(maps.Keys(named)) {
			given = append(given, jsonSeries{Name: n, Values: named[n]})
		}
	case len(list) > 0 && list[0][0] == '{':
		if err := decode(raw, &given); err != nil {
			return nil, err
		}
	default:
		given = make([]jsonSeries, 1)
		if err := decode(raw, &given[0].Values); err != nil {
			return nil, err
		}
	}
	var out []namedSeries
	seen := map[string]bool{}
	for _, g := range given {
		if seen[g.Name] {
			return nil, fmt.Errorf("duplicate series %q", g.Name)
		}
		seen[g.Name] = true
		s, err := g.series()
		if err != nil {
			if g.Name != "" {
				err = fmt.Errorf("series %q: %w", g.Name, err)
			}
			return nil, err
		}
		out = append(out, s)
	}
	return out, nil
}

func (g jsonSeries) series() (namedSeries, error) {
	s := namedSeries{Metric: verdict.Metric{Name: g.Name, Least: g.Least}, labels: g.Labels, order: "label"}
	if g.Quantity != "" {
		q, err := verdict.ParseQuantity(g.Quantity)
		if err != nil {
			return s, err
		}
		s.Quantity = q
	}
	if g.Labels != nil && len(g.Labels) != len(g.Values) {
		return s, fmt.Errorf("%d labels and %d values: want as many", len(g.Labels), len(g.Values))
	}
	for i, v := range g.Values {
		if v == nil {
			return s, fmt.Errorf("value %d is null: leave out what was not measured", i)
		}
		s.Values = append(s.Values, *v)
	}
	return s, nil
}

// decode reads one JSON document and says where it is wrong.
func decode(raw []byte, to any) error {
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.DisallowUnknownFields()
	err := dec.Decode(to)
	if err == nil && dec.InputOffset() < int64(len(raw)) && len(bytes.TrimSpace(raw[dec.InputOffset():])) > 0 {
		err = errors.New("more than one document")
	}
	offset := dec.InputOffset()
	if e, ok := errors.AsType[*json.SyntaxError](err); ok {
		offset = e.Offset
		if rest := raw[max(0, offset-1):]; bytes.HasPrefix(rest, []byte("N")) || bytes.HasPrefix(rest, []byte("I")) {
			err = errors.New("NaN and Infinity are no numbers: leave out what was not measured")
		}
	} else if e, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		offset, err = e.Offset, fmt.Errorf("a JSON %s where a %s belongs", e.Value, jsonWord(e.Type.String()))
	}
	if err != nil {
		return fmt.Errorf("line %d: %w", 1+bytes.Count(raw[:min(int(offset), len(raw))], []byte("\n")), err)
	}
	return nil
}

// jsonWord is what a Go type is called in JSON.
func jsonWord(goType string) string {
	switch {
	case strings.HasPrefix(goType, "[]"):
		return "array"
	case strings.Contains(goType, "float"):
		return "number"
	case goType == "string":
		return goType
	}
	return "object"
}
