package bisect

import "math"

// Tally counts the cold boots of one build in which the case passed and failed.
type Tally struct{ Passed, Failed int }

// The prior of the chance that a good commit fails a run: Beta(½, 50), about one
// in a hundred, since no case is free of false alarms. A bad commit's is uniform.
const (
	falseAlarmAlpha = .5
	falseAlarmBeta  = 50
)

// Confidence is the posterior probability that the build at index culprit is the
// first bad one, given the counts of each distinct build on the line, oldest
// first. The rivals are every other build of the line and "nothing changed: the
// case fails at one unknown rate everywhere" (Beta(½,½)), all equally likely
// before. It is 0 for an index outside the line.
//
// The marginal likelihood of f failures and s passes under Beta(a,b) is
// B(a+f, b+s)/B(a,b); see Gelman et al., Bayesian Data Analysis, section 2.4.
func Confidence(line []Tally, culprit int) float64 {
	if culprit < 1 || culprit >= len(line) {
		return 0
	}
	all := sum(line)
	logs := []float64{marginal(all, .5, .5)}
	for c := 1; c < len(line); c++ {
		logs = append(logs,
			marginal(sum(line[:c]), falseAlarmAlpha, falseAlarmBeta)+marginal(sum(line[c:]), 1, 1))
	}
	top := math.Inf(-1)
	for _, l := range logs {
		top = math.Max(top, l)
	}
	total := 0.0
	for _, l := range logs {
		total += math.Exp(l - top)
	}
	return math.Exp(logs[culprit]-top) / total
}

func sum(line []Tally) (t Tally) {
	for _, x := range line {
		t.Passed += x.Passed
		t.Failed += x.Failed
	}
	return t
}

// marginal is the log of the beta-binomial marginal likelihood, without the
// binomial coefficient, which is the same for every rival.
func marginal(t Tally, a, b float64) float64 {
	return logBeta(a+float64(t.Failed), b+float64(t.Passed)) - logBeta(a, b)
}

func logBeta(a, b float64) float64 {
	la, _ := math.Lgamma(a)
	lb, _ := math.Lgamma(b)
	lab, _ := math.Lgamma(a + b)
	return la + lb - lab
}
