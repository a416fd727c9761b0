package main

import (
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// Worked by hand from the definitions in the dataset's paper.
func TestTuringScore(t *testing.T) {
	for _, tt := range []struct {
		n         int
		marks     [][]int
		predicted []int
		f1, cover float64
	}{
		{10, [][]int{{5}}, []int{5}, 1, 1},
		{10, [][]int{{5}}, nil, 2. / 3, .5},
		{10, [][]int{{5}, {}}, []int{5}, 1, .75},
		{20, [][]int{{5}}, []int{10}, 1, (5*.5 + 15*2./3) / 20},                      // at the margin
		{20, [][]int{{5}}, []int{11}, .5, (5*5./11 + 15*.6) / 20},                    // beyond it
		{20, [][]int{{}}, []int{3}, 2. / 3, .85},                                     // one too many, though 0 is near
		{40, [][]int{{10, 12}}, []int{11}, .8, (10*10./11 + 2./12 + 28*28./29) / 40}, // a prediction is one mark's
		{10, [][]int{{0, 5}}, []int{0, 5}, 1, 1},
	} {
		s := turingSeries{values: make([]float64, tt.n), marks: tt.marks}
		if f1, cover := s.score(tt.predicted); math.Abs(f1-tt.f1) > 1e-9 || math.Abs(cover-tt.cover) > 1e-9 {
			t.Errorf("%v for %v: F1 %.4f and cover %.4f, want %.4f and %.4f", tt.predicted, tt.marks, f1, cover, tt.f1, tt.cover)
		}
	}
}

func TestReadTuring(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if _, _, err := readTuring(dir); err == nil {
		t.Error("an empty folder is no dataset")
	}
	write("annotations.json", `{"one": {"7": [3, 1], "8": []}, "two": {"7": []}, "gap": {"7": []}, "gone": {"7": []}}`)
	write("datasets/one/one.json", `{"series": [{"raw": [1, 2, 3, 4]}]}`)
	write("datasets/two/two.json", `{"series": [{"raw": [1]}, {"raw": [2]}]}`)
	write("datasets/gap/gap.json", `{"series": [{"raw": [1, null]}]}`)
	series, absent, err := readTuring(dir)
	if err != nil || len(series) != 1 || series[0].name != "one" || len(series[0].values) != 4 || !slices.Equal(series[0].marks[0], []int{1, 3}) {
		t.Errorf("%+v, %v; want one series with two annotators", series, err)
	}
	if !slices.Equal(absent, []string{"gone"}) {
		t.Errorf("absent %v, want gone", absent)
	}
	write("annotations.json", `{"one": {"7": [4]}}`)
	if _, _, err := readTuring(dir); err == nil || !strings.Contains(err.Error(), "annotator 7 marked a point that one has not") {
		t.Errorf("%v, want the mark beyond the series", err)
	}
}

func TestNoiseIsOfOneSize(t *testing.T) {
	measured, err := residuals([]namedSeries{seriesOf(gaussian(rand.New(rand.NewPCG(1, 1)), 400))})
	if err != nil {
		t.Fatal(err)
	}
	for name, draw := range map[string]noise{"gaussian": gaussian, "remembering": remembering, "bimodal": bimodal, "measured": measured} {
		sum, square := 0.0, 0.0
		v := draw(rand.New(rand.NewPCG(2, 2)), 100_000)
		for _, x := range v {
			sum, square = sum+x, square+x*x
		}
		n := float64(len(v))
		if mean, sd := sum/n, math.Sqrt(square/n); len(v) != 100_000 || math.Abs(mean) > .1 || math.Abs(sd-1) > .02 {
			t.Errorf("%s: %d values of mean %.3f and deviation %.3f, want 0 and 1", name, len(v), mean, sd)
		}
	}
	for _, none := range [][]float64{{1, 2, 3}, make([]float64, 500)} {
		if _, err := residuals([]namedSeries{seriesOf(none)}); err == nil {
			t.Errorf("%d values have noise", len(none))
		}
	}
}

func seriesOf(values []float64) (s namedSeries) {
	s.Values = values
	return s
}

func TestDetectBenchComparesWithPromises(t *testing.T) {
	n := noiseBench{Noise: "x", FalseAlarmLimit: .5, RecallLeast: .9, Recall: .9, Recall3Least: .98, Recall3: .98, Delay: 8, DelayLimit: 8}
	b := detectBench{Noise: []noiseBench{n}, Metrics: 500, Alarms: []int{1, 1}, AlarmLimit: 1, NightLimit: 1, Turing: &turingBench{F1: 1, Cover: 1}}
	if b.compare(); len(b.Missed) > 0 {
		t.Errorf("missed: %q, all promises are kept", b.Missed)
	}
	n.FalseAlarms, n.Recall, n.Recall3, n.Delay = 1, .5, .5, 9
	b.Noise[0], b.Alarms, b.NightCPUS, b.Turing = n, []int{1, 2}, 2, &turingBench{F1Least: .74, CoverLeast: .7}
	if b.compare(); len(b.Missed) != 8 {
		t.Errorf("%d missed of 8: %q", len(b.Missed), b.Missed)
	}
	var out strings.Builder
	b.print(&out)
	if !strings.Contains(out.String(), "missed: x: recall 0.500, less than 0.9\n") || !strings.Contains(out.String(), "--residuals") {
		t.Errorf("printed:\n%s", out.String())
	}
}

// Whatever a file holds, reading it ends with series or with an error of one line.
func FuzzReadSeries(f *testing.F) {
	for _, s := range []string{"[1, 2, NaN]", "{\"a\": [1]}", "[{\"name\": \"x\", \"values\": [1, null]}]", "1\n2\n", "commit,x\nc1,1\n", "[", "[[]]", "\"", "a,b\n1", "[{}]"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		all, err := readSeries(nil, strings.NewReader(text))
		if err == nil && len(all) == 0 {
			t.Error("neither series nor an error")
		}
		if err != nil && strings.Contains(err.Error(), "\n") {
			t.Errorf("error of several lines: %q", err)
		}
		for _, s := range all {
			if s.check() == nil && s.labels != nil && len(s.labels) != len(s.Values) {
				t.Errorf("%d labels of %d values", len(s.labels), len(s.Values))
			}
			if err := s.check(); err != nil && strings.Contains(err.Error(), "\n") {
				t.Errorf("error of several lines: %q", err)
			}
			drawSeries(s.Values, nil)
		}
	})
}
