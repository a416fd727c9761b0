package verdict

import "math"

// Boot is what one cold boot and its clones said of a case. Clones share what the
// boot decided, so ten clones of one boot are less evidence than ten boots. Infra errors
// have no place in it: they never count.
type Boot struct{ Passed, Failed int }

// History is how a case behaved on builds that were judged good: boots in which it
// passed throughout, and boots in which it failed. What it fails there is not the
// commit's doing, and is expected of the next commit too.
type History struct{ Passed, Failed int }

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
	// A case that nobody has seen fails by itself as if it had been seen to fail half
	// a time in fifty boots: one in a hundred.
	flakyA, flakyB = .5, 49.5
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
	passed, failed := 0, 0
	for _, b := range boots {
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
	case passed > 0 && h.Failed > 0 && o.Bad <= acquit:
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
	a, b := flakyA+float64(h.Failed), flakyB+float64(h.Passed)
	var prior [gridSize]float64 // of q, over a grid uniform for Beta(½,½)
	for i, q := range r {
		prior[i] = math.Exp((a-.5)*math.Log(q) + (b-.5)*math.Log1p(-q) + logChooseReal(a, b))
	}
	var good, bad float64
	for _, k := range concentrations {
		var like [gridSize]float64
		for i, p := range r {
			like[i] = bootsLikelihood(boots, p, k)
		}
		above, n := 0.0, 0.0 // mean likelihood of the rates above q
		for i := gridSize - 1; i >= 0; i-- {
			good += prior[i] * like[i]
			if n > 0 {
				bad += prior[i] * above / n
			}
			above, n = above+like[i], n+1
		}
	}
	bad, good = bad*priorBad, good*(1-priorBad)
	if bad+good == 0 {
		return priorBad
	}
	return bad / (bad + good)
}

// logChooseReal keeps the prior's numbers near 1.
func logChooseReal(a, b float64) float64 {
	x, _ := math.Lgamma(a + b)
	y, _ := math.Lgamma(a)
	z, _ := math.Lgamma(b)
	return x - y - z
}

// bootsLikelihood is the Beta-binomial probability of the boots' results, up to a
// factor that depends on neither rate nor concentration.
func bootsLikelihood(boots []Boot, p, k float64) float64 {
	sum := 0.0
	for _, b := range boots {
		for i := range b.Failed {
			sum += math.Log(p*k + float64(i))
		}
		for i := range b.Passed {
			sum += math.Log((1-p)*k + float64(i))
		}
		for i := range b.Failed + b.Passed {
			sum -= math.Log(k + float64(i))
		}
	}
	return math.Exp(sum)
}
