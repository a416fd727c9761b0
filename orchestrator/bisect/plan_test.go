package bisect

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"testing"
)

// said makes observations: so many failures and passes of a commit.
func said(commit, failed, passed int) (obs []Observation) {
	for i := range failed + passed {
		o := Observation{ID: fmt.Sprint(commit, " ", i), Commit: commit, Outcome: Pass}
		if i < failed {
			o.Outcome = Fail
		}
		obs = append(obs, o)
	}
	return obs
}

// The numbers of the table in docs/bisect.md: 1000 commits, error 1 %, builds of 10.
func TestBound(t *testing.T) {
	for _, tt := range []struct{ p, q, want float64 }{
		{1, 0, 107.6}, {.5, 0, 128.2}, {.2, 0, 184.0}, {.1, 0, 276.3}, {.05, 0, 460.7}, {.5, .01, 132.1}, {.2, .01, 212.0},
	} {
		if got := Bound(1000, .01, tt.p, tt.q, 10); math.Abs(got-tt.want) > .1 {
			t.Errorf("p %v, q %v: %.2f, want %.1f", tt.p, tt.q, got, tt.want)
		}
		// The channel's capacity is the most that any share of bad commits tells.
		most := 0.0
		for x := .001; x < 1; x += .001 {
			most = max(most, entropy(x*tt.p+(1-x)*tt.q)-x*entropy(tt.p)-(1-x)*entropy(tt.q))
		}
		if c := Capacity(tt.p, tt.q); math.Abs(c-most) > 1e-5 {
			t.Errorf("p %v, q %v: capacity %v, by trying %v", tt.p, tt.q, c, most)
		}
	}
	if Capacity(.1, .1) != 0 || BitsFor(1, .01) != 0 {
		t.Error("a run that tells nothing has a capacity, or one commit is searched for")
	}
}

func TestPlan(t *testing.T) {
	learned := DefaultModel()
	learned.Q = Known(0)
	seen := learned.WithHistory(History{Bad: Count{Failed: 3, Passed: 3}})
	exact := learned
	exact.P = Known(1)
	for _, tt := range []struct {
		name  string
		model Model
		line  func(Line)
		obs   [][]Observation
		with  Options
		want  func(Plan) bool
	}{
		{"the bad end first", learned, nil, nil, Options{}, func(p Plan) bool {
			return p.Goal == Reproduce && p.Asks[0].Commit == 100 && p.Cost >= 10
		}},
		{"not when a history tells p", seen, nil, nil, Options{}, func(p Plan) bool { return p.Goal == Narrow }},
		{"in the middle when bugs always show", exact, nil, nil, Options{}, func(p Plan) bool {
			a := p.Asks[0]
			return p.Goal == Narrow && a.Commit > 45 && a.Commit < 55 && a.Runs == 1
		}},
		{"beside what does not build", exact, func(l Line) { l[50].State = Unbuildable }, nil, Options{}, func(p Plan) bool {
			d := p.Asks[0].Commit - 50
			return d*d > 1 && d*d < 400
		}},
		{"what is built, if it tells as much", exact, func(l Line) { l[40].State = Built }, nil, Options{}, func(p Plan) bool { return p.Asks[0].Commit == 40 }},
		{"where the suspects are", exact, func(l Line) {
			for i := 80; i < 90; i++ {
				l[i].Prior = 10
			}
		}, nil, Options{}, func(p Plan) bool { return p.Asks[0].Commit >= 75 && p.Asks[0].Commit <= 90 }},
		{"several commits for several machines", exact, func(l Line) {
			for i := range l {
				l[i].State = Built
			}
		}, nil, Options{Machines: 3}, func(p Plan) bool {
			at := []int{}
			for _, a := range p.Asks {
				at = append(at, a.Commit)
			}
			slices.Sort(at)
			return len(at) == 3 && at[0] > 20 && at[0] < 30 && at[1] > 45 && at[1] < 55 && at[2] > 70 && at[2] < 80
		}},
		{"clones of one image for a rare bug", seen, nil, [][]Observation{said(100, 3, 60)}, Options{Machines: 4}, func(p Plan) bool {
			return len(p.Asks) == 1 && p.Asks[0].Machines == 4 && p.Asks[0].Runs >= 4
		}},
		{"what passes is built ahead first", exact, nil, nil, Options{Builders: 2}, func(p Plan) bool {
			return len(p.Ahead) == 2 && p.Ahead[0] > p.Asks[0].Commit && p.Ahead[1] < p.Asks[0].Commit
		}},
		{"the good end is bad", learned, nil, [][]Observation{said(100, 6, 0), said(0, 6, 0)}, Options{}, func(p Plan) bool {
			return p.Goal == Stop && p.Ending == BadBefore
		}},
		{"the bad end does not fail", learned, nil, [][]Observation{said(100, 0, 500)}, Options{}, func(p Plan) bool {
			return p.Goal == Stop && p.Ending == Irreproducible && len(p.Asks) == 0
		}},
		{"neighbours are told apart: confirm", exact, nil, [][]Observation{said(60, 0, 3), said(61, 3, 0)}, Options{Machines: 9}, func(p Plan) bool {
			return p.Goal == Confirm && p.Ending == Culprit && p.Commits[0] == 61 && len(p.Asks) == 3 && p.Asks[2].Reverted
		}},
		{"what cannot be reverted is not", exact, nil, [][]Observation{said(60, 0, 5), said(61, 5, 0)}, Options{NoRevert: true}, func(p Plan) bool {
			return p.Goal == Stop && p.Ending == Culprit && p.Verification.Done
		}},
		{"a block that does not build is a range", exact, func(l Line) {
			for i := 61; i < 70; i++ {
				l[i].State = Unbootable
			}
		}, [][]Observation{said(60, 0, 5), said(70, 5, 0)}, Options{}, func(p Plan) bool {
			return p.Goal == Stop && p.Ending == Range && len(p.Commits) == 10 && p.Commits[0] == 61 && p.Verification.Done
		}},
		{"the budget is spent", exact, nil, [][]Observation{said(60, 0, 3)}, Options{Budget: 50, Spent: 45}, func(p Plan) bool {
			return p.Goal == Stop && p.Ending == OverBudget && len(p.Asks) == 0 && p.Commits[0] == 61
		}},
		{"a culprit stands when the budget is spent", exact, nil, [][]Observation{said(60, 0, 3), said(61, 3, 0)}, Options{Budget: 50, Spent: 50}, func(p Plan) bool {
			return p.Goal == Stop && p.Ending == Culprit && !p.Verification.Done
		}},
	} {
		l := unbuilt(100)
		l[0].State = Built
		if tt.line != nil {
			tt.line(l)
		}
		var obs []Observation
		for _, o := range tt.obs {
			l[o[0].Commit].State = Built
			obs = append(obs, o...)
		}
		if p := searchOf(t, l, evidenceOf(t, obs), tt.model).Plan(tt.with); !tt.want(p) {
			t.Errorf("%s: %+v", tt.name, p)
		}
	}
}

// A plan asks for no more passes than would end the search.
func TestPlanStopsAtTheEnd(t *testing.T) {
	m := DefaultModel()
	m.P, m.Q, m.Repeats = Known(.1), Known(0), []int{200}
	l := unbuilt(2)
	l[1].State, l[2].State = Built, Built
	e := evidenceOf(t, slices.Concat(said(1, 0, 20), said(2, 5, 10)))
	p := searchOf(t, l, e, m).Plan(Options{})
	if p.Goal != Narrow || p.Asks[0].Commit != 1 {
		t.Fatalf("%+v, want runs of commit 1", p)
	}
	for _, n := range []int{p.Asks[0].Runs - 1, p.Asks[0].Runs} {
		ended := searchOf(t, l, evidenceOf(t, slices.Concat(said(1, 0, 20+n), said(2, 5, 10))), m).Plan(Options{}).Ending != 0
		if ended != (n == p.Asks[0].Runs) {
			t.Errorf("after %d passes of %d it has ended: %v", n, p.Asks[0].Runs, ended)
		}
	}
}

func TestVerify(t *testing.T) {
	// p is at least .5, so that seven passes speak a hundred to one for a good commit.
	r := rates{low: .5, good: 1e-9}
	for _, tt := range []struct {
		name   string
		in     Subject
		wanted int
		refuse bool
	}{
		{"nothing yet", Subject{Role: Parent}, 7, false},
		{"five passes", Subject{Role: Parent, Count: Count{Passed: 5}, Boots: 5}, 2, false},
		{"enough", Subject{Role: Parent, Count: Count{Passed: 7}, Boots: 7}, 0, false},
		{"enough runs of too few boots", Subject{Role: Parent, Count: Count{Passed: 20}, Boots: 2}, 3, false},
		{"a parent that fails", Subject{Role: Parent, Count: Count{Failed: 1, Passed: 5}, Boots: 6}, 0, true},
		{"a revert that fails", Subject{Role: Reverted, Count: Count{Failed: 1}, Boots: 1}, 0, true},
		{"a culprit unseen", Subject{Role: Accused}, 7, false},
		{"one failure, a second is waited for", Subject{Role: Accused, Count: Count{Failed: 1, Passed: 5}, Boots: 6}, 2, false},
		{"in vain", Subject{Role: Accused, Count: Count{Failed: 1, Passed: 7}, Boots: 8}, 0, false},
		{"two failures", Subject{Role: Accused, Count: Count{Failed: 2, Passed: 3}, Boots: 5}, 0, false},
		{"a culprit that never fails", Subject{Role: Accused, Count: Count{Passed: 7}, Boots: 7}, 0, true},
	} {
		x := tt.in
		r.judge(&x)
		if x.Wanted != tt.wanted || x.Against != tt.refuse {
			t.Errorf("%s: wants %d, against %v; want %d, %v", tt.name, x.Wanted, x.Against, tt.wanted, tt.refuse)
		}
	}
	// A good commit may fail now and then: that costs further passes, and no more.
	r = rates{low: .5, good: .01}
	x := Subject{Role: Parent, Count: Count{Failed: 1, Passed: 7}, Boots: 8}
	if r.judge(&x); x.Against || x.Wanted < 4 {
		t.Errorf("a parent that failed once where one in a hundred does: %+v", x)
	}
}

// A culprit whose confirmation says otherwise is not asked for more.
func TestRefuted(t *testing.T) {
	m := DefaultModel()
	m.P, m.Q = Known(1), Known(0)
	l := unbuilt(5)
	l[2].State, l[3].State = Built, Built
	obs := slices.Concat(said(2, 0, 6), said(3, 6, 0), []Observation{{ID: "r", Commit: 3, Reverted: true, Outcome: Fail}})
	p := searchOf(t, l, evidenceOf(t, obs), m).Plan(Options{})
	if p.Goal != Stop || p.Ending != Culprit || p.Verification.Done || !p.Verification.Subjects[2].Against {
		t.Errorf("%+v, want an end without confirmation", p)
	}
}

func TestForecast(t *testing.T) {
	m := DefaultModel()
	f := searchOf(t, unbuilt(1000), &Evidence{}, m).Forecast()
	if !(f.Least > 100 && f.Least < f.Search && f.Search < f.High && f.Verify > 0) {
		t.Errorf("%+v: want least, expected and upper limit in this order", f)
	}
	var refused *BudgetError
	if err := f.Check(60); !errors.As(err, &refused) || refused.Expected < f.High || refused.Least > f.Search {
		t.Errorf("60 runs for ten builds: %v, want a refusal with the number that would do", err)
	}
	for _, budget := range []float64{0, f.Search, f.High} {
		if err := f.Check(budget); err != nil {
			t.Errorf("budget %v: %v", budget, err)
		}
	}
	// Every step makes what is left less, in the end.
	l := unbuilt(1000)
	l[500].State, l[1000].State = Built, Built
	known := searchOf(t, l, evidenceOf(t, slices.Concat(said(1000, 5, 5), said(500, 3, 2))), m).Forecast()
	if known.Search >= f.Search || known.High >= f.High {
		t.Errorf("after half of it %+v, before %+v", known, f)
	}
}

// Below a merge, what is asked splits ancestors from the rest.
func TestMergeIsEntered(t *testing.T) {
	// 0 ─ 1 ─────── 5 (merge) ─ 6, beside 2 ─ 3 ─ 4 of another history.
	l := unbuilt(6)
	l[2].Parents, l[5].Parents = []int{}, []int{1, 4}
	for i := range l {
		l[i].State = Built
	}
	m := DefaultModel()
	m.P, m.Q = Known(1), Known(0)
	for _, tt := range []struct {
		obs  [][]Observation
		want int
	}{
		{[][]Observation{said(1, 0, 5), said(3, 5, 0), said(2, 0, 5)}, 3},
		{[][]Observation{said(1, 0, 5), said(4, 0, 5), said(5, 5, 0)}, 5},
		{[][]Observation{said(5, 0, 5), said(6, 5, 0)}, 6},
		{[][]Observation{said(0, 0, 5), said(1, 5, 0)}, 1},
	} {
		p := searchOf(t, l, evidenceOf(t, slices.Concat(tt.obs...)), m).Plan(Options{Machines: 9})
		if p.Ending != Culprit || !slices.Equal(p.Commits, []int{tt.want}) {
			t.Errorf("%v: %v %v, want %d", tt.obs, p.Ending, p.Commits, tt.want)
		}
		parents := 0
		for _, x := range p.Verification.Subjects {
			if x.Role == Parent {
				parents++
			}
		}
		if want := max(1, len(l.parents(tt.want))); parents != want {
			t.Errorf("culprit %d: %d parents are confirmed, want %d", tt.want, parents, want)
		}
	}
}
