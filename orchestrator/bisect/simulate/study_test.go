package simulate

import (
	"context"
	"errors"
	"math"
	"reflect"
	"testing"

	"go.uber.org/goleak"

	"github.com/headwatch/headwatch/orchestrator/bisect"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// study is of a bug that fails every third run, among 200 commits.
func study(trials int) Study {
	m := bisect.DefaultModel()
	m.Q, m.Before, m.None = bisect.Known(0), 0, 0
	return Study{Commits: 200, P: Fixed(.33), Q: Fixed(0), Trials: trials, Seed: 1, Options: Options{Model: m, Confirm: true}}
}

// What is said of a search holds: it is right as often as stated, near the bound, and
// the forecast covers it.
func TestStudy(t *testing.T) {
	o, err := study(150).Run(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	bound := bisect.Bound(200, .01, .33, 0, 10)
	if o.Right < 143 || o.Cost > 1.6*bound || o.Cost < bound {
		t.Errorf("right %d of 150, cost %.1f over a bound of %.1f", o.Right, o.Cost, bound)
	}
	if o.Verified < 143 || o.Accused > 1 || o.Verify < 5 {
		t.Errorf("%d confirmed at a cost of %.1f, %d wrong", o.Verified, o.Verify, o.Accused)
	}
	if o.BeyondHigh > .1 {
		t.Errorf("%.3f cost more than the forecast's upper limit", o.BeyondHigh)
	}
}

// What is stated is so, when bugs are as frequent as the model expects.
func TestCalibration(t *testing.T) {
	s := study(250)
	s.Commits, s.P, s.Options.Confirm = 50, Drawn(s.Options.Model.P), false
	o, err := s.Run(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range o.Calibration {
		if math.Abs(d.Right-d.Stated) > .03+4*d.Error || d.Trials < 20 {
			t.Errorf("stated %.3f, right %.3f ± %.3f in %d trials", d.Stated, d.Right, d.Error, d.Trials)
		}
	}
}

func TestStudyDoesNotDependOnWorkers(t *testing.T) {
	one, four := study(12), study(12)
	one.Workers, four.Workers = 1, 4
	a, err := one.Run(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if b, err := four.Run(context.Background()); err != nil || !reflect.DeepEqual(a, b) {
		t.Errorf("one worker finds %+v, four %+v, %v", a, b, err)
	}
}

func TestStudyIsCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := study(1000).Run(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("%v, want that it was cancelled", err)
	}
}

func TestStudyRefusesABudget(t *testing.T) {
	s := study(10)
	s.Options.Plan.Budget = 30
	var refused *bisect.BudgetError
	if _, err := s.Run(context.Background()); !errors.As(err, &refused) || refused.Budget != 30 {
		t.Errorf("%v, want a refusal", err)
	}
}

// Boots that decide for all their runs do not mislead a search that knows of boots.
func TestBootsThatDecide(t *testing.T) {
	s := study(30)
	s.P, s.Correlation, s.Options.Model.PerBoot = Fixed(.6), 1, 5
	o, err := s.Run(context.Background())
	if err != nil || o.Right < 26 {
		t.Errorf("right %d of 30, %v", o.Right, err)
	}
}

// git bisect by the published table, with the least number of repeats that is right
// for 99 of 100: 1000 commits, builds of ten runs.
func TestPlain(t *testing.T) {
	for _, tt := range []struct{ p, want float64 }{{1, 1.02}, {.5, 1.21}, {.2, 1.44}, {.1, 1.62}, {.05, 1.76}} {
		k := Enough(1000, tt.p, 0, 10, .99)
		cost, right := Plain(1000, k, tt.p, 0, 10)
		if ratio := cost / bisect.Bound(1000, .01, tt.p, 0, 10); math.Abs(ratio-tt.want) > .015 || right < .99 {
			t.Errorf("p %v: %d repeats, %.3f × the bound, right %.4f; want %.2f", tt.p, k, ratio, right, tt.want)
		}
	}
	if k := Enough(1000, .2, .01, 10, .99); k != 0 {
		t.Errorf("%d repeats are enough though good commits fail", k)
	}
	// Ten repeats are right 99.6, 57, 16 and 2.6 % of the time.
	for _, tt := range []struct{ p, want float64 }{{.5, .996}, {.2, .57}, {.1, .16}, {.05, .026}} {
		if _, right := Plain(1000, 10, tt.p, 0, 10); math.Abs(right-tt.want) > .02 {
			t.Errorf("p %v: ten repeats are right %.3f of the time, want %.3f", tt.p, right, tt.want)
		}
	}
}

func TestWilson(t *testing.T) {
	for _, tt := range []struct {
		k, n int
		want float64
	}{{0, 0, 0}, {2000, 2000, .99808}, {1980, 2000, .98461}, {5, 10, .23659}} {
		if got := wilson(tt.k, tt.n); math.Abs(got-tt.want) > 1e-4 {
			t.Errorf("%d of %d: %.5f, want %.5f", tt.k, tt.n, got, tt.want)
		}
	}
}
