package simulate

import "math"

// Plain is what git bisect costs when a commit counts as good after so many passes,
// and how often it is right: over all culprits, exactly, as long as it is right. It
// starts from built ends that are what they are taken for.
func Plain(commits, repeats int, p, q, buildCost float64) (cost, right float64) {
	seen, quiet := math.Pow(1-p, float64(repeats)), math.Pow(1-q, float64(repeats))
	bad, good := runsUntil(p, repeats), runsUntil(q, repeats)
	for culprit := 1; culprit <= commits; culprit++ {
		lo, hi, all := 0, commits, 1.0
		for hi-lo > 1 {
			cost += buildCost
			if mid := (lo + hi) / 2; mid >= culprit {
				hi = mid
				cost, all = cost+bad, all*(1-seen)
			} else {
				lo = mid
				cost, all = cost+good, all*quiet
			}
		}
		right += all
	}
	return cost / float64(commits), right / float64(commits)
}

// runsUntil is the expected number of runs until the first failure or the last.
func runsUntil(v float64, most int) float64 {
	if v <= 0 {
		return float64(most)
	}
	return (1 - math.Pow(1-v, float64(most))) / v
}

// maxRepeats bounds the search for enough repeats.
const maxRepeats = 2000

// Enough is the least number of repeats with which git bisect is right that often; 0
// when none is enough, for a spurious failure misleads it for good.
func Enough(commits int, p, q, buildCost, right float64) int {
	for k := 1; k <= maxRepeats; k++ {
		if _, r := Plain(commits, k, p, q, buildCost); r >= right {
			return k
		}
		if quiet := math.Pow(1-q, float64(k)); quiet < right/2 {
			return 0
		}
	}
	return 0
}
