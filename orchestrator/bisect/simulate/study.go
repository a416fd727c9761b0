package simulate

import (
	"context"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"

	"github.com/headwatch/headwatch/orchestrator/bisect"
)

// Study is many searches of one kind.
type Study struct {
	Commits int
	P, Q    func(*rand.Rand) float64 // of each trial
	// Correlation is the share of boots that decide for all their runs.
	Correlation float64
	// History is how many failures of other bad commits were seen before, which tell
	// how often one fails and cost nothing.
	History int
	Options Options
	Trials  int
	Seed    uint64
	Workers int // 0: one for each processor
}

// Fixed is the same chance in every trial.
func Fixed(v float64) func(*rand.Rand) float64 { return func(*rand.Rand) float64 { return v } }

// Drawn takes a chance from a grid.
func Drawn(g bisect.Grid) func(*rand.Rand) float64 {
	total := 0.0
	for _, w := range g.Weights {
		total += w
	}
	return func(r *rand.Rand) float64 {
		x := r.Float64() * total
		for i, w := range g.Weights {
			if x -= w; x < 0 {
				return g.Values[i]
			}
		}
		return g.Values[len(g.Values)-1]
	}
}

// Outcome is what a study found.
type Outcome struct {
	Trials      int
	Right       int
	Low         float64 // lower Wilson 95 % limit of the accuracy
	Cost        float64 // mean, until the confidence is reached
	CostError   float64 // standard error of that mean
	CostHigh    float64 // exceeded by one search in ten
	Runs        float64
	Builds      float64
	Verify      float64 // mean, of those that got there
	Verified    int
	Accused     int // of those, the wrong ones
	Plans       float64
	Expected    float64 // mean of what was forecast
	BeyondHigh  float64 // share of the searches that cost more than the forecast's upper limit
	Confidence  float64 // mean, as stated at the end
	Endings     map[bisect.Ending]int
	Calibration []Decile
}

// Decile compares what was stated with what was so: every class of commits at every
// plan, by its mass.
type Decile struct {
	Stated float64 // mean
	Right  float64 // share
	Error  float64 // standard error of the difference, whole trials drawn again
	Trials int     // that had such a class
}

// Run makes the study's trials. They do not depend on the number of workers.
func (s Study) Run(ctx context.Context) (Outcome, error) {
	workers := s.Workers
	if workers == 0 {
		workers = runtime.GOMAXPROCS(0)
	}
	trials := make([]Trial, s.Trials)
	stated := make([]scores, s.Trials)
	errs := make([]error, workers)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var wait sync.WaitGroup
	for n := range workers {
		wait.Go(func() {
			for i := n; i < s.Trials && errs[n] == nil; i += workers {
				if trials[i], errs[n] = s.trial(ctx, i, &stated[i]); errs[n] != nil {
					cancel()
				}
			}
		})
	}
	wait.Wait()
	for _, err := range errs {
		if err != nil && (ctx.Err() == nil || err != context.Canceled) {
			return Outcome{}, err
		}
	}
	if err := errs[0]; err != nil {
		return Outcome{}, err
	}
	o := sum(trials)
	o.Calibration = calibrate(stated)
	return o, nil
}

func (s Study) trial(ctx context.Context, i int, stated *scores) (Trial, error) {
	r := rand.New(rand.NewPCG(s.Seed, uint64(i)))
	w, o := s.world(r), s.Options
	o.Watch = stated.watch
	if s.History > 0 {
		o.Model = o.Model.WithHistory(w.history(s.History, r))
	}
	return w.Search(ctx, o, r)
}

// Show makes the first trial, with its steps, and tells its culprit.
func (s Study) Show(ctx context.Context) (Trial, int, error) {
	r := rand.New(rand.NewPCG(s.Seed, 0))
	w, o := s.world(r), s.Options
	o.Steps = true
	if s.History > 0 {
		o.Model = o.Model.WithHistory(w.history(s.History, r))
	}
	t, err := w.Search(ctx, o, r)
	return t, w.Culprits[0], err
}

// world draws a history.
func (s Study) world(r *rand.Rand) World {
	p, q := s.P(r), s.Q(r)
	for range maxDraws {
		if q < p {
			break
		}
		p, q = s.P(r), s.Q(r) // such a bug does not show
	}
	w := Straight(s.Commits, 1+r.IntN(s.Commits), p, q)
	w.Correlation = s.Correlation
	return w
}

// maxDraws bounds the search for a p above q.
const maxDraws = 1000

func sum(trials []Trial) Outcome {
	o := Outcome{Trials: len(trials), Endings: map[bisect.Ending]int{}}
	var costs []float64
	n := float64(max(1, len(trials)))
	for _, t := range trials {
		if t.WasRight {
			o.Right++
		}
		if t.Verified {
			o.Verified++
			if !t.Right {
				o.Accused++
			}
		}
		if t.Cost > t.Forecast.High {
			o.BeyondHigh += 1 / n
		}
		o.Endings[t.Ending]++
		o.Cost += t.Cost / n
		o.Runs += float64(t.Runs) / n
		o.Builds += float64(t.Builds) / n
		o.Verify += t.Verify / n
		o.Plans += float64(t.Plans) / n
		o.Expected += t.Forecast.Search / n
		o.Confidence += t.First / n
		costs = append(costs, t.Cost)
	}
	for _, c := range costs {
		o.CostError += (c - o.Cost) * (c - o.Cost)
	}
	o.CostError = math.Sqrt(o.CostError) / n
	if slices.Sort(costs); len(costs) > 0 {
		o.CostHigh = costs[len(costs)*9/10]
	}
	o.Low = wilson(o.Right, o.Trials)
	return o
}

// wilson is the lower 95 % limit of a share (Wilson, Probable inference, 1927).
func wilson(k, n int) float64 {
	if n == 0 {
		return 0
	}
	const z = 1.959964
	x, m := float64(k)/float64(n), float64(n)
	return (x + z*z/(2*m) - z*math.Sqrt(x*(1-x)/m+z*z/(4*m*m))) / (1 + z*z/m)
}

// scores sums, for each decile, what one search stated and what was so.
type scores [10]struct{ stated, right, n float64 }

func (c *scores) watch(s *bisect.Search, culprits []int) {
	s.Classes(func(mass float64, first, last int) {
		d := &c[min(9, int(mass*10))]
		d.stated += mass
		d.n++
		for _, x := range culprits {
			if first <= x && x <= last {
				d.right++
			}
		}
	})
}

// calibrate compares the sums; the error is that of a ratio of sums over trials
// (Cochran, Sampling Techniques, section 2.11).
func calibrate(all []scores) []Decile {
	out := make([]Decile, 10)
	for k := range out {
		var stated, right, n float64
		for _, s := range all {
			stated, right, n = stated+s[k].stated, right+s[k].right, n+s[k].n
			if s[k].n > 0 {
				out[k].Trials++
			}
		}
		if n == 0 {
			continue
		}
		bias, square := (right-stated)/n, 0.0
		for _, s := range all {
			d := s[k].right - s[k].stated - bias*s[k].n
			square += d * d
		}
		out[k].Stated, out[k].Right, out[k].Error = stated/n, right/n, math.Sqrt(square)/n
	}
	return out
}
