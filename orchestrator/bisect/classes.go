package bisect

import "math"

// A commit beyond which nothing could be obtained is likely broken as well: its
// chance is 1 - breakShare·e^(-d/breakReach) at distance d from a known break.
const (
	breakShare = .9
	breakReach = 8.
	// hopeless is the chance of being obtained below which a commit is not tried:
	// breaks on both sides, at most four commits away.
	hopeless = .2
	// masked is how many runs of a commit may crash in other ways, none saying
	// anything, before it counts as one that cannot be asked.
	masked = 12
)

// obtainable gives each commit's chance of being built, booted and asked; 0 is for
// those that are broken, or not worth a try.
func (s *Search) obtainable() []float64 {
	// trouble is how sure it is that a commit is broken, or crashes in other ways only.
	trouble, any := make([]float64, len(s.line)), false
	for i, c := range s.line {
		if !c.testable() {
			trouble[i], any = 1, true
		}
	}
	for _, a := range s.asked {
		if t := a.total; t.Failed+t.Passed == 0 && t.Other > 0 {
			if trouble[a.commit], any = float64(t.Other)/float64(t.Other+1), true; t.Other >= masked {
				trouble[a.commit] = 1
			}
		}
	}
	ok := make([]float64, len(s.line))
	for i := range ok {
		ok[i] = 1 - math.Floor(trouble[i])
	}
	if !any {
		return ok
	}
	// From both sides: what was obtained shields from breaks behind it.
	var left, right shadow
	for i := range ok {
		j := len(ok) - 1 - i
		ok[i] *= left.over(trouble[i], s.line[i].State == Built)
		ok[j] *= right.over(trouble[j], s.line[j].State == Built)
	}
	for i := range ok {
		if ok[i] < hopeless {
			ok[i] = 0
		}
	}
	return ok
}

// shadow is what a break casts on the commits beyond it.
type shadow struct{ sure, distance float64 }

// over moves to the next commit, and gives what the shadow leaves of its chance.
func (s *shadow) over(trouble float64, built bool) float64 {
	switch {
	case trouble > 0:
		*s = shadow{sure: trouble}
	case built:
		*s = shadow{}
	case s.sure > 0:
		s.distance++
		return 1 - s.sure*breakShare*math.Exp(-s.distance/breakReach)
	}
	return 1
}

// yield is the share of a commit's runs that say something.
func (s *Search) yield(commit int) float64 {
	for _, a := range s.asked {
		if a.commit == commit {
			told := float64(a.total.Failed + a.total.Passed + 1)
			return told / (told + float64(a.total.Other))
		}
	}
	return 1
}

// classes are the candidates as far as they can be told apart: commits of one class
// have one number. The first commit, bad already, is in none.
type classes struct {
	chosen []int // the commits that can be asked, or were, and the last
	number []int // of each commit
	mass   []float64
}

func (s *Search) classes(ok []float64) classes {
	told := make([]bool, len(s.line))
	for _, a := range s.asked {
		told[a.commit] = a.total.Failed+a.total.Passed > 0
	}
	c := classes{chosen: make([]int, 0, len(s.line))}
	for i := range s.line {
		if ok[i] > 0 || told[i] || i == len(s.line)-1 {
			c.chosen = append(c.chosen, i)
		}
	}
	c.number = s.order.partition(c.chosen)
	c.mass = make([]float64, len(s.line))
	for i, k := range c.number {
		if i > 0 {
			c.mass[k] += s.weight[i]
		}
	}
	return c
}

// likeliest is the number of the class with the most mass, of the first ones.
func (c classes) likeliest() (top int) {
	for k, m := range c.mass {
		if m > c.mass[top] {
			top = k
		}
	}
	return top
}

// members lists the commits of classes that may be the culprit.
func (s *Search) members(c classes, of map[int]bool) (out []int) {
	for i, k := range c.number {
		if i > 0 && of[k] && s.prior[i] > 0 {
			out = append(out, i)
		}
	}
	return out
}

// closing is the first commit that can be asked and contains a candidate.
func (s *Search) closing(c classes, candidate int) int {
	for _, i := range c.chosen {
		if s.order.contains(i, candidate) {
			return i
		}
	}
	return len(s.line) - 1
}

// before lists the nearest commits that can be asked and contain none of a class's
// candidates: one on a line, at most a few below a merge.
func (s *Search) before(c classes, candidate int) []int {
	usable := make(map[int]bool, len(c.chosen))
	for _, i := range c.chosen {
		usable[i] = true
	}
	var out []int
	seen := map[int]bool{}
	for queue := []int{candidate}; len(queue) > 0 && len(out) < maxParents; queue = queue[1:] {
		for _, p := range s.line.parents(queue[0]) {
			switch {
			case seen[p]:
			case usable[p]:
				out = append(out, p)
			default:
				queue = append(queue, p)
			}
			seen[p] = true
		}
	}
	return out
}

// maxParents bounds how many parents of a merge are confirmed.
const maxParents = 4

// Classes calls f with the mass of each class of candidates that has any, and its
// first and last commit: what a search states at this point. Below a merge, commits
// of other classes may lie between.
func (s *Search) Classes(f func(mass float64, first, last int)) {
	c := s.classes(s.obtainable())
	for i := 1; i < len(s.line); i++ {
		k, j := c.number[i], i
		for s.order.below == nil && j+1 < len(s.line) && c.number[j+1] == k {
			j++
		}
		if s.weight[i] > 0 {
			f(c.mass[k], i, j)
		}
		i = j
	}
}
