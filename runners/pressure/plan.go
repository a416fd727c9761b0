package pressure

import (
	"iter"
	"math"
	"math/rand/v2"
	"time"
)

// Step is what is done to the threads for some time.
type Step struct {
	For    time.Duration
	Cores  []int // for each thread the index of a core, in the order of the host's numbers; -1: any
	Ranks  []int // for each thread its rank, 0 runs before all others; nil: all alike
	Victim int   // index of the thread that is paused again and again; -1: none
	Pause  time.Duration
	Gap    time.Duration // between pauses, on average
	Seed   uint64        // of the gaps: each is drawn from half to one and a half of Gap
}

// anywhere is a core that is not said.
const anywhere = -1

// Of a hundred steps, how many are of a kind; the rest pauses a victim.
const (
	freeSteps    = 10
	crowdedSteps = 4
)

// Bounds of what is drawn. A pause must be long enough for another thread to do
// all that it takes for a fault, and short enough to come often.
const (
	minStep  = 5 * time.Millisecond
	maxStep  = 25 * time.Millisecond
	minPause = 15 * time.Microsecond
	maxPause = 60 * time.Microsecond
)

// Plan is the endless sequence of steps for a seed, so many threads and so many
// cores of the host, each at least 1.
func Plan(seed uint64, threads, cores int) iter.Seq[Step] {
	return func(yield func(Step) bool) {
		r := rand.New(rand.NewPCG(seed, uint64(threads)<<32|uint64(cores)))
		for yield(draw(r, threads, cores)) {
		}
	}
}

func draw(r *rand.Rand, threads, cores int) Step {
	s := Step{For: between(r, minStep, maxStep), Cores: make([]int, threads), Victim: -1, Seed: r.Uint64()}
	for i := range s.Cores {
		s.Cores[i] = anywhere
	}
	kind := r.IntN(100)
	switch {
	case kind < freeSteps || min(threads, cores) < 2 && kind >= freeSteps+crowdedSteps:
	case kind < freeSteps+crowdedSteps:
		core := r.IntN(cores)
		for i := range s.Cores {
			s.Cores[i] = core
		}
		s.Ranks = r.Perm(threads)
	default:
		s.Victim = r.IntN(threads)
		s.Pause = between(r, minPause, maxPause)
		s.Gap = between(r, 3*s.Pause/2, 4*s.Pause)
		apart(r, s.Cores, s.Victim, cores)
	}
	return s
}

// apart gives the victim a core of its own and spreads the others over the rest,
// so that a pause of one is a pause of nobody else.
func apart(r *rand.Rand, at []int, victim, cores int) {
	order := r.Perm(cores)
	next := 1
	for i := range at {
		if i == victim {
			at[i] = order[0]
			continue
		}
		at[i] = order[next]
		if next++; next == cores {
			next = 1
		}
	}
}

// between draws from low to high so that each octave is as likely as the next.
func between(r *rand.Rand, low, high time.Duration) time.Duration {
	return time.Duration(float64(low) * math.Pow(float64(high)/float64(low), r.Float64()))
}
