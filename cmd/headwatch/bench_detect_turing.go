package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// turingMargin is by how many points a change may be off, as in the dataset's paper.
const turingMargin = 5

// turingSeries is a series of the Turing change-point dataset (van den Burg and
// Williams, "An evaluation of change point detection algorithms", 2020) and what
// people marked in it.
type turingSeries struct {
	name   string
	values []float64
	marks  [][]int // of each annotator, ascending
}

// control says whether a series was made up to see whether annotators pay attention.
func (s turingSeries) control() bool { return strings.HasPrefix(s.name, "quality_control_") }

// readTuring reads the univariate complete series of a checkout of the dataset, and
// lists those whose values the checkout lacks: licences keep some from being in it.
func readTuring(dir string) (series []turingSeries, absent []string, err error) {
	var marks map[string]map[string][]int
	if err := readJSON(filepath.Join(dir, "annotations.json"), &marks); err != nil {
		return nil, nil, err
	}
	for _, name := range slices.Sorted(maps.Keys(marks)) {
		var doc struct {
			Series []struct {
				Raw []*float64 `json:"raw"`
			} `json:"series"`
		}
		path := filepath.Join(dir, "datasets", name, name+".json")
		if err := readJSON(path, &doc); errors.Is(err, fs.ErrNotExist) {
			absent = append(absent, name)
			continue
		} else if err != nil {
			return nil, nil, err
		}
		if len(doc.Series) != 1 || slices.Contains(doc.Series[0].Raw, nil) {
			continue // of several values at once, or with gaps
		}
		s := turingSeries{name: name}
		for _, x := range doc.Series[0].Raw {
			s.values = append(s.values, *x)
		}
		for _, who := range slices.Sorted(maps.Keys(marks[name])) {
			at := slices.Clone(marks[name][who])
			slices.Sort(at)
			if len(at) > 0 && (at[0] < 0 || at[len(at)-1] >= len(s.values)) {
				return nil, nil, fmt.Errorf("%s: annotator %s marked a point that %s has not", filepath.Join(dir, "annotations.json"), who, name)
			}
			s.marks = append(s.marks, at)
		}
		series = append(series, s)
	}
	if len(series) == 0 {
		return nil, nil, fmt.Errorf("%s: no univariate complete series in it: want a checkout of the Turing change-point dataset", dir)
	}
	return series, absent, nil
}

func readJSON(path string, to any) error {
	raw, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(raw, to); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

// score is F1 and cover of predicted changes, as the paper has them: precision
// against everything that anybody marked, recall for each annotator and then on
// average; both with a change at 0, which is always right.
func (s turingSeries) score(predicted []int) (f1, cover float64) {
	predicted = withZero(predicted)
	var anybody []int
	recall := 0.0
	for _, m := range s.marks {
		m = withZero(m)
		anybody = append(anybody, m...)
		recall += float64(hits(m, predicted)) / float64(len(m))
		cover += coverOf(m, predicted, len(s.values))
	}
	n := float64(len(s.marks))
	recall, cover = recall/n, cover/n
	precision := float64(hits(withZero(anybody), predicted)) / float64(len(predicted))
	return 2 * precision * recall / (precision + recall), cover
}

func withZero(at []int) []int {
	return slices.Compact(slices.Sorted(slices.Values(append([]int{0}, at...))))
}

// hits counts the marks that have a prediction of their own within the margin, each
// taking the nearest one left.
func hits(marks, predicted []int) (n int) {
	left := slices.Clone(predicted)
	for _, m := range marks {
		best := -1
		for i, x := range left {
			if abs(x-m) <= turingMargin && (best < 0 || abs(x-m) < abs(left[best]-m)) {
				best = i
			}
		}
		if best >= 0 {
			left = slices.Delete(left, best, best+1)
			n++
		}
	}
	return n
}

// coverOf is how well stretches cover those between marks: the best overlap of each,
// over their union, weighted by its length (Arbelaez et al., 2010).
func coverOf(marks, predicted []int, n int) float64 {
	sum := 0.0
	for i, lo := range marks {
		hi, best := endOf(marks, i, n), 0.0
		for j, from := range predicted {
			to := endOf(predicted, j, n)
			both := min(hi, to) - max(lo, from)
			best = max(best, float64(both)/float64(hi-lo+to-from-both))
		}
		sum += float64(hi-lo) * best
	}
	return sum / float64(n)
}

func endOf(begins []int, i, n int) int {
	if i+1 < len(begins) {
		return begins[i+1]
	}
	return n
}

func abs(n int) int { return max(n, -n) }
