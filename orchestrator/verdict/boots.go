package verdict

import (
	"math"
	"slices"
)

// Boot is what one cold boot and its clones said of a case. Clones share what the
// boot decided, so ten clones of one boot are less evidence than ten boots. Infra errors
// have no place in it: they never count.
type Boot struct{ Passed, Failed int }

// History is how a case behaved on builds that were judged good, in boots: one in
// which half of the clones failed is half a failed one. What fails there is not the
// commit's doing, and is expected of the next commit too.
type History struct{ Passed, Failed float64 }

// Add counts a boot of a good build.
func (h History) Add(b Boot) History {
	if n := float64(b.Passed + b.Failed); n > 0 {
		h.Passed += float64(b.Passed) / n
		h.Failed += float64(b.Failed) / n
	}
	return h
}

// Opinion is what boots say of a case on one build.
type Opinion struct {
	Verdict Verdict // empty: more boots are wanted
	Bad     float64 // posterior that the build is bad
	More    int     // boots that can decide, at least; 0 with a verdict
}

// The thresholds of Weigh.
const (
	// priorBad is how likely a build that failed once is to be bad before anything is
	// counted. Most of a night's failures of thousands of cases are not.
	priorBad = .05
	// accuse and acquit are posteriors. One false accusation of twenty would be too many if
	// it were the last word; the culprit and its parent are confirmed after this.
	accuse = .95
	acquit = .05
	// failedBoots that a bad build shows at least: one boot, with however many clones, may
	// have been unlucky in something that it decided.
	failedBoots = 2
	// boots after which what cannot be told is skip.
	mostBoots = 15
	// unseen is how many passed boots a case has to begin with: it fails by itself once
	// in a hundred, about. Those that were seen take their place.
	unseen = 49
	// mostHistory bounds the boots that a history counts as: no case stays as it is for
	// longer.
	mostHistory = 1000
)

// concentrations are how much the boot decides: the rate of failures within a boot
// is Beta distributed around the build's, with this concentration. 1e4: nothing,
// clones are as good as boots; 1: about half; .05: nearly all.
var concentrations = [...]float64{1e4, 1, .05}

// Weigh judges a build by its boots, with the case's history as prior. A good build
// fails at the rate q of the history; a bad one at a rate p > q of which nothing is
// known, except that bugs tend to show always or seldom (Beta(½,½)); and the boot
// is a random effect in both.
//
// A build on which a case both passed and failed is good only when the case did so
// before; else it is skip at last.
func Weigh(boots []Boot, h History) Opinion {
	o := opinion(boots, h)
	if o.Verdict != "" {
		return o
	}
	for more := 1; len(boots)+more <= mostBoots; more++ {
		for _, next := range []Boot{{Failed: 1}, {Passed: 1}} {
			all := append([]Boot(nil), boots...)
			for range more {
				all = append(all, next)
			}
			if opinion(all, h).Verdict != "" {
				o.More = more
				return o
			}
		}
	}
	o.Verdict = Skip
	return o
}

func opinion(boots []Boot, h History) Opinion {
	o := Opinion{Bad: posteriorBad(boots, h)}
	passed, failed, passes := 0, 0, 0
	for _, b := range boots {
		passes += b.Passed
		if b.Failed > 0 {
			failed++
		} else if b.Passed > 0 {
			passed++
		}
	}
	switch {
	case failed >= failedBoots && o.Bad >= accuse:
		o.Verdict = Bad
	case passed > 0 && failed == 0:
		o.Verdict = Good // as far as anybody can tell: a rare race passes most boots of a bad build
	case passes > 0 && h.Failed > 0 && o.Bad <= acquit:
		o.Verdict = Good
	case passed+failed >= mostBoots:
		o.Verdict = Skip
	}
	return o
}

// gridSize is of the rates that are summed over.
const gridSize = 40

// rates are evenly spaced in the arcsine of the root, where Beta(½,½) is uniform.
func rates() (r [gridSize]float64) {
	for i := range r {
		s := math.Sin(math.Pi / 2 * (float64(i) + .5) / gridSize)
		r[i] = s * s
	}
	return r
}

// posteriorBad sums the likelihood of the boots over rates and concentrations.
func posteriorBad(boots []Boot, h History) float64 {
	r := rates()
	prior := rateHistory(h, r)
	like := likelihoods(boots, r)
	var good, bad float64
	for k := range concentrations {
		above, n := 0.0, 0.0 // mean likelihood of the rates above q
		for i := gridSize - 1; i >= 0; i-- {
			good += prior[i] * like[k][i]
			if n > 0 {
				bad += prior[i] * above / n
			}
			above, n = above+like[k][i], n+1
		}
	}
	bad, good = bad*priorBad, good*(1-priorBad)
	return bad / (bad + good)
}

// rateHistory is the prior of the rate of a good build's failures, over a grid that
// is uniform for Beta(½,½), up to a factor.
func rateHistory(h History, r [gridSize]float64) (prior [gridSize]float64) {
	weight := min(1, mostHistory/max(1, h.Failed+h.Passed))
	a, b := .5+weight*h.Failed, .5+weight*h.Passed+max(0, unseen-h.Failed-h.Passed)
	for i, q := range r {
		prior[i] = (a-.5)*math.Log(q) + (b-.5)*math.Log1p(-q)
	}
	relative(prior[:])
	return prior
}

// likelihoods of the boots by concentration and rate, up to a factor.
func likelihoods(boots []Boot, r [gridSize]float64) (like [len(concentrations)][gridSize]float64) {
	var alike []alikeBoots // most boots say what another said
	for _, b := range boots {
		i := slices.IndexFunc(alike, func(a alikeBoots) bool { return a.Boot == b })
		if i < 0 {
			i, alike = len(alike), append(alike, alikeBoots{Boot: b})
		}
		alike[i].n++
	}
	all := make([]float64, 0, len(concentrations)*gridSize)
	for _, k := range concentrations {
		for _, p := range r {
			all = append(all, logLikelihood(alike, p, k))
		}
	}
	relative(all)
	for k := range like {
		copy(like[k][:], all[k*gridSize:])
	}
	return like
}

// relative makes weights of logarithms, of which the greatest is 1.
func relative(logs []float64) {
	most := slices.Max(logs)
	for i, x := range logs {
		logs[i] = math.Exp(x - most)
	}
}

// alikeBoots are n boots that said the same.
type alikeBoots struct {
	Boot
	n int
}

// logLikelihood is that of the boots' results by a Beta-binomial distribution.
func logLikelihood(boots []alikeBoots, p, k float64) float64 {
	sum := 0.0
	for _, b := range boots {
		sum += float64(b.n) * (logRising(p*k, b.Failed) + logRising((1-p)*k, b.Passed) - logRising(k, b.Failed+b.Passed))
	}
	return sum
}

// logRising is the logarithm of a·(a+1)·…, of n factors.
func logRising(a float64, n int) float64 {
	x, _ := math.Lgamma(a + float64(n))
	y, _ := math.Lgamma(a)
	return x - y
}
