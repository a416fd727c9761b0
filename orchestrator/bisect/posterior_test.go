package bisect

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"pgregory.net/rapid"
)

// unbuilt is a line of so many commits after a good one, of which nothing is known.
func unbuilt(commits int) Line {
	l := make(Line, commits+1)
	for i := range l {
		l[i].State = NotBuilt
	}
	return l
}

// evidenceOf gives each run an id; runs of one boot share a name.
func evidenceOf(t interface{ Fatal(...any) }, obs []Observation) *Evidence {
	e := &Evidence{}
	for _, o := range obs {
		if _, err := e.Add(o); err != nil {
			t.Fatal(err)
		}
	}
	return e
}

func searchOf(t interface{ Fatal(...any) }, l Line, e *Evidence, m Model) *Search {
	s, err := NewSearch(l, e, m)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// draw makes some evidence about a line.
func draw(t *rapid.T, commits int) (obs []Observation) {
	n := rapid.IntRange(0, 40).Draw(t, "runs")
	for i := range n {
		obs = append(obs, Observation{
			ID: fmt.Sprint(i), Commit: rapid.IntRange(0, commits).Draw(t, "commit"),
			Boot:     rapid.SampledFrom([]string{"", "", "a", "b"}).Draw(t, "boot"),
			Reverted: rapid.IntRange(0, 9).Draw(t, "reverted") == 0,
			Outcome:  rapid.SampledFrom([]Outcome{Fail, Pass, Pass, Other}).Draw(t, "outcome"),
		})
	}
	return obs
}

// shaped draws a line with merges: each commit follows one or two before it.
func shaped(t *rapid.T, commits int) Line {
	l := unbuilt(commits)
	if rapid.Bool().Draw(t, "linear") {
		return l
	}
	for i := 1; i < len(l); i++ {
		l[i].Parents = []int{rapid.IntRange(max(0, i-4), i-1).Draw(t, "parent")}
		if p := rapid.IntRange(max(0, i-6), i-1).Draw(t, "second"); rapid.IntRange(0, 3).Draw(t, "merge") == 0 && p != l[i].Parents[0] {
			l[i].Parents = append(l[i].Parents, p)
		}
	}
	return l
}

// The posterior is what Bayes' rule says, computed from its definition: every
// culprit, every p, q and overdispersion, every boot.
func TestPosteriorIsBayes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 12).Draw(t, "commits")
		l, obs, m := shaped(t, n), draw(t, n), DefaultModel()
		m.P, m.Q = spaced(.05, 1, 5), spaced(.001, .1, 3)
		for i := range l {
			l[i].Prior = rapid.Float64Range(0, 20).Draw(t, "prior")
		}
		post := searchOf(t, l, evidenceOf(t, obs), m).Posterior()
		want := make([]float64, n+2) // the last: no culprit
		total := 0.0
		prior := l.prior()
		for c := range want {
			weight := m.None
			switch {
			case c == 0:
				weight = m.Before
			case c <= n:
				sum := 0.0
				for _, w := range prior {
					sum += w
				}
				weight = (1 - m.Before - m.None) * prior[c] / sum
			}
			want[c] = weight * likelihood(l, obs, m, c)
			total += want[c]
		}
		for c, w := range want {
			got := post.None
			if c == 0 {
				got = post.Before
			} else if c <= n {
				got = post.Mass[c]
			}
			if math.Abs(got-w/total) > 1e-9 {
				t.Fatalf("culprit %d: %v, want %v", c, got, w/total)
			}
		}
	})
}

// likelihood of observations if c is the culprit, beyond the line: if there is none.
func likelihood(l Line, obs []Observation, m Model, c int) (sum float64) {
	several := map[bootKey]int{}
	for _, o := range obs {
		if o.Boot != "" && o.Outcome != Other && !o.Reverted {
			several[bootKey{o.Commit, false, o.Boot}]++
		}
	}
	rhos := Grid{[]float64{0}, []float64{1}}
	for _, k := range several {
		if k > 1 {
			rhos = m.Overdispersion
		}
	}
	norm := 0.0
	for i, p := range m.P.Values {
		for j, q := range m.Q.Values {
			for k, rho := range rhos.Values {
				if p <= q {
					continue
				}
				w := m.P.Weights[i] * m.Q.Weights[j] * rhos.Weights[k]
				norm += w
				x := 1.0
				boots := map[bootKey]Count{}
				for _, o := range obs {
					if o.Reverted || o.Outcome == Other {
						continue
					}
					v := q
					if c < len(l) && descends(l, o.Commit, c) {
						v = p
					}
					v = clamp(v)
					// Pólya's urn: what a boot said before speaks for what it says next.
					b := bootKey{o.Commit, false, o.Boot}
					n := boots[b]
					chance := v
					if rho > 0 && o.Boot != "" {
						s := (1 - rho) / rho
						chance = (v*s + float64(n.Failed)) / (s + float64(n.Failed+n.Passed))
					}
					if o.Outcome == Fail {
						n.Failed++
						x *= chance
					} else {
						n.Passed++
						x *= 1 - chance
					}
					boots[b] = n
				}
				sum += w * x
			}
		}
	}
	return sum / norm
}

// descends says whether commit i is a or comes after it, by walking.
func descends(l Line, i, a int) bool {
	if i == a {
		return true
	}
	for _, p := range l.parents(i) {
		if descends(l, p, a) {
			return true
		}
	}
	return false
}

// Neither the order of results nor that some arrive twice changes anything.
func TestOrderAndDuplicates(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 30).Draw(t, "commits")
		l, obs := shaped(t, n), draw(t, n)
		mixed := rapid.Permutation(append(append([]Observation{}, obs...), obs...)).Draw(t, "mixed")
		a, b := searchOf(t, l, evidenceOf(t, obs), DefaultModel()), searchOf(t, l, evidenceOf(t, mixed), DefaultModel())
		if x, y := fmt.Sprint(a.Posterior(), a.Plan(Options{Machines: 2, Builders: 2})), fmt.Sprint(b.Posterior(), b.Plan(Options{Machines: 2, Builders: 2})); x != y {
			t.Fatalf("in order:\n%s\nmixed and twice:\n%s", x, y)
		}
	})
}

// With p and q fixed, p above q, a failure at a commit never lowers the mass of the
// culprits that it contains, and a pass never raises it.
func TestFailuresPointBackwards(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 30).Draw(t, "commits")
		l, obs, m := shaped(t, n), draw(t, n), DefaultModel()
		p := rapid.Float64Range(.02, .99).Draw(t, "p")
		m.P, m.Q, m.Overdispersion = Known(p), Known(p*rapid.Float64Range(.001, .9).Draw(t, "q")), Known(0)
		at := rapid.IntRange(0, n).Draw(t, "at")
		inside := func(obs []Observation) (sum float64) {
			s := searchOf(t, l, evidenceOf(t, obs), m)
			for c, w := range s.weight {
				if s.order.contains(at, c) {
					sum += w
				}
			}
			return sum
		}
		before := inside(obs)
		for outcome, worse := range map[Outcome]func(a, b float64) bool{
			Fail: func(a, b float64) bool { return b < a-1e-12 },
			Pass: func(a, b float64) bool { return b > a+1e-12 },
		} {
			after := inside(append(obs[:len(obs):len(obs)], Observation{ID: "new", Commit: at, Outcome: outcome}))
			if worse(before, after) {
				t.Fatalf("outcome %d at %d: mass of its culprits goes from %v to %v", outcome, at, before, after)
			}
		}
	})
}

// A boot that decides for all its runs is worth little more than one run.
func TestBootIsOneDraw(t *testing.T) {
	mass := func(boots int) float64 {
		var obs []Observation
		for i := range 60 {
			obs = append(obs, Observation{ID: fmt.Sprint(i), Commit: 5, Boot: fmt.Sprint(i % boots), Outcome: Pass})
		}
		m := DefaultModel()
		m.P, m.Q = Known(.3), Known(.001)
		s := searchOf(t, unbuilt(10), evidenceOf(t, obs), m)
		sum := 0.0
		for _, w := range s.weight[1:6] {
			sum += w
		}
		return sum
	}
	if one, sixty := mass(1), mass(60); one < 1e3*sixty || one > .4 {
		t.Errorf("60 passes of one boot leave %v to the culprits before, of 60 boots %v", one, sixty)
	}
}

func TestEvidenceRefuses(t *testing.T) {
	e := evidenceOf(t, []Observation{{ID: "1", Commit: 3, Outcome: Pass}})
	for _, o := range []Observation{
		{ID: "", Commit: 1, Outcome: Pass}, {ID: "2", Commit: -1, Outcome: Pass}, {ID: "2", Commit: 1}, {ID: "2", Commit: 1, Outcome: 4},
		{ID: "1", Commit: 3, Outcome: Fail}, {ID: "1", Commit: 4, Outcome: Pass}, {ID: "1", Commit: 3, Outcome: Pass, Boot: "b"},
	} {
		if _, err := e.Add(o); err == nil {
			t.Errorf("%+v is taken", o)
		}
	}
	if isNew, err := e.Add(Observation{ID: "1", Commit: 3, Outcome: Pass}); isNew || err != nil || e.Len() != 1 {
		t.Errorf("the same again: new %v, %v, %d observations", isNew, err, e.Len())
	}
}

func TestImpossibleLines(t *testing.T) {
	bad := func(change func(Line)) Line {
		l := unbuilt(3)
		change(l)
		return l
	}
	same := unbuilt(3)
	same[0].Class, same[3].Class = "x", "x"
	for _, tt := range []struct {
		name string
		line Line
		want error // nil: any
	}{
		{"empty", nil, ErrNoCommits},
		{"one commit", unbuilt(0), ErrNoCommits},
		{"same build", same, ErrSameBuild},
		{"bad end unbuildable", bad(func(l Line) { l[3].State = Unbuildable }), ErrBadEnd},
		{"bad end unbootable", bad(func(l Line) { l[3].State = Unbootable }), ErrBadEnd},
		{"no state", bad(func(l Line) { l[1].State = 0 }), nil},
		{"parent later", bad(func(l Line) { l[1].Parents = []int{2} }), nil},
		{"parent itself", bad(func(l Line) { l[1].Parents = []int{1} }), nil},
		{"parent missing", bad(func(l Line) { l[1].Parents = []int{-1} }), nil},
		{"prior", bad(func(l Line) { l[1].Prior = math.NaN() }), nil},
		{"cost", bad(func(l Line) { l[1].Cost = math.Inf(1) }), nil},
	} {
		if _, err := NewSearch(tt.line, &Evidence{}, DefaultModel()); err == nil || tt.want != nil && !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, err, tt.want)
		}
	}
	if _, err := NewSearch(unbuilt(3), evidenceOf(t, []Observation{{ID: "1", Commit: 4, Outcome: Pass}}), DefaultModel()); err == nil {
		t.Error("an observation beyond the line is taken")
	}
}

func TestImpossibleModels(t *testing.T) {
	for name, change := range map[string]func(*Model){
		"no p":                func(m *Model) { m.P = Grid{} },
		"weights missing":     func(m *Model) { m.P.Weights = m.P.Weights[1:] },
		"p above 1":           func(m *Model) { m.P = Known(1.5) },
		"no weight":           func(m *Model) { m.Q.Weights = make([]float64, 5) },
		"q above p":           func(m *Model) { m.P, m.Q = Known(.01), Known(.02) },
		"before and none":     func(m *Model) { m.Before, m.None = .5, .5 },
		"build cost":          func(m *Model) { m.BuildCost = -1 },
		"confidence":          func(m *Model) { m.Confidence = 1 },
		"repeats not ordered": func(m *Model) { m.Repeats = []int{2, 1} },
		"no runs of a boot":   func(m *Model) { m.PerBoot = -1 },
	} {
		m := DefaultModel()
		change(&m)
		if _, err := NewSearch(unbuilt(3), &Evidence{}, m); err == nil {
			t.Errorf("%s: is taken", name)
		}
	}
}

// Commits that build alike are one candidate, and what lies between them is none.
func TestClassesAreOneCandidate(t *testing.T) {
	l := unbuilt(6)
	for i, c := range []string{"a", "b", "b", "c", "d", "c", "e"} {
		l[i].Class = c
	}
	if got, want := fmt.Sprint(l.prior()), "[0 1 0 1 0 0 1]"; got != want {
		t.Errorf("prior %s, want %s", got, want)
	}
	l[1].Prior, l[3].Prior = 1e6, 1e-6
	if got, want := fmt.Sprint(l.prior()), "[0 10 0 0.1 0 0 1]"; got != want {
		t.Errorf("prior %s, want %s", got, want)
	}
}

// BenchmarkPlan is what a driver waits for between two results, on a long line.
func BenchmarkPlan(b *testing.B) {
	l := unbuilt(20_000)
	r := rand.New(rand.NewPCG(1, 1))
	var obs []Observation
	for i := range 400 {
		c := r.IntN(20) * 1000
		o := Observation{ID: fmt.Sprint(i), Commit: c, Outcome: Pass}
		if c >= 12_000 && r.Float64() < .1 {
			o.Outcome = Fail
		}
		l[c].State = Built
		obs = append(obs, o)
	}
	e := evidenceOf(b, obs)
	for b.Loop() {
		searchOf(b, l, e, DefaultModel()).Plan(Options{})
	}
}
