package simulate

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/headwatch/headwatch/orchestrator/bisect"
)

var update = flag.Bool("update", false, "write the golden files anew")

// scenario is a history with something unusual in it, and how it has to end.
type scenario struct {
	name   string
	about  string
	world  World
	plan   bisect.Options
	model  func(*bisect.Model)
	ending bisect.Ending
	right  bool
	proven bool // confirmed at the end
}

// broken marks commits from first to last as unbuildable.
func (w World) broken(first, last int) World {
	if w.Broken == nil {
		w.Broken = make([]bisect.BuildState, len(w.Line))
	}
	for i := first; i <= last; i++ {
		w.Broken[i] = bisect.Unbuildable
	}
	return w
}

// masked lets runs of commits from first to last crash in another way.
func (w World) masked(first, last int, share float64) World {
	w.Masked = make([]float64, len(w.Line))
	for i := first; i <= last; i++ {
		w.Masked[i] = share
	}
	return w
}

// fixed takes the bug out of commits from first to last; it comes back after that.
func (w World) fixed(first, last int) World {
	for i := first; i <= last; i++ {
		w.Fails[i] = w.Q
	}
	w.Culprits = append(w.Culprits, last+1)
	w.Reverted = func(c int) float64 {
		if c == last+1 {
			return w.Q
		}
		return w.Fails[len(w.Fails)-1]
	}
	return w
}

// merged lays the commits from first to last beside the line: they come with the
// merge after them, whose first parent is the commit before them.
func (w World) merged(first, last int) World {
	w.Line[last+1].Parents = []int{first - 1, last}
	w.Line[first].Parents = []int{} // of a vendor's history
	culprit := w.Culprits[0]
	for i := first; i <= last; i++ {
		w.Fails[i] = w.Q
		if culprit >= first && i >= culprit {
			w.Fails[i] = w.Fails[len(w.Fails)-1]
		}
	}
	return w
}

func scenarios() []scenario {
	sure := func(m *bisect.Model) { m.Q = bisect.Known(0) }
	return []scenario{
		{"plain", "a bug that shows in every third run", Straight(200, 77, .33, 0), bisect.Options{}, sure, bisect.Culprit, true, true},
		{"first", "the first candidate is the culprit", Straight(200, 1, .5, .001), bisect.Options{}, nil, bisect.Culprit, true, true},
		{"last", "the last candidate is the culprit", Straight(200, 200, .5, .001), bisect.Options{}, nil, bisect.Culprit, true, true},
		{"unbuildable", "the culprit lies in a block that does not compile", Straight(200, 77, .5, 0).broken(70, 90), bisect.Options{}, sure, bisect.Range, true, true},
		{"unbuildable_before", "a block that does not compile ends before the culprit", Straight(200, 77, .5, 0).broken(60, 76), bisect.Options{}, sure, bisect.Range, true, true},
		{"before", "the good end is bad already", Straight(200, 0, .5, .001), bisect.Options{}, nil, bisect.BadBefore, true, false},
		{"nothing", "the bad end never fails", Straight(200, 201, .5, 0), bisect.Options{}, sure, bisect.Irreproducible, true, false},
		{"everywhere", "what fails now and then fails everywhere", Straight(200, 201, .5, .05), bisect.Options{}, nil, bisect.BadBefore, true, false},
		{"two", "a second culprit brings the same failure again", Straight(200, 40, .5, 0).second(120), bisect.Options{}, sure, bisect.Culprit, true, false},
		{"masked", "commits around the culprit crash in another way", Straight(200, 77, .5, 0).masked(70, 85, .7), bisect.Options{}, sure, bisect.Culprit, true, true},
		{"hidden", "commits around the culprit only crash in another way", Straight(200, 77, .5, 0).masked(70, 85, 1), bisect.Options{}, sure, bisect.Range, true, true},
		{"drift", "the bug gets rarer as the search goes on", drifting(Straight(200, 77, .6, 0), .995), bisect.Options{}, sure, bisect.Culprit, true, true},
		{"reintroduced", "the bug was fixed in between", Straight(200, 40, .5, 0).fixed(90, 140), bisect.Options{}, sure, bisect.Culprit, true, true},
		{"merge", "the culprit came with a vendor merge", Straight(60, 33, .5, 0).merged(20, 40), bisect.Options{}, sure, bisect.Culprit, true, true},
		{"machines", "four machines and two builders", Straight(500, 321, .9, 0), bisect.Options{Machines: 4, Builders: 2}, sure, bisect.Culprit, true, true},
		{"clones", "four clones of one image, for a rare bug", Straight(200, 77, .1, 0), bisect.Options{Machines: 4}, sure, bisect.Culprit, true, true},
		{"budget", "a budget that ends the search early", Straight(1000, 321, .05, 0), bisect.Options{Budget: 300}, sure, bisect.OverBudget, true, false},
		{"irrevocable", "the culprit cannot be reverted", Straight(200, 77, .5, 0), bisect.Options{NoRevert: true}, sure, bisect.Culprit, true, true},
	}
}

// second adds a culprit behind the first: taking back one does not help.
func (w World) second(at int) World {
	w.Reverted = func(int) float64 { return w.Fails[at] }
	return w
}

func drifting(w World, factor float64) World {
	w.Drift = factor
	return w
}

// TestScenarios compares each step of some searches with what was written down, and
// their ends with what they have to be.
func TestScenarios(t *testing.T) {
	for _, sc := range scenarios() {
		t.Run(sc.name, func(t *testing.T) {
			m := bisect.DefaultModel()
			if sc.model != nil {
				sc.model(&m)
			}
			trial, err := sc.world.Search(context.Background(), Options{Model: m, Plan: sc.plan, Steps: true, Confirm: true}, rand.New(rand.NewPCG(1, 2)))
			if err != nil {
				t.Fatal(err)
			}
			if trial.Ending != sc.ending || trial.Right != sc.right || trial.Verified != sc.proven {
				t.Errorf("ends with %q %v, right %v, confirmed %v; want %q, %v, %v", trial.Ending, trial.Commits, trial.Right, trial.Verified, sc.ending, sc.right, sc.proven)
			}
			golden(t, sc.name, sc.tell(trial))
		})
	}
}

func (sc scenario) tell(t Trial) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "# %s\n", sc.about)
	for _, s := range t.Steps {
		fmt.Fprintln(&b, s)
	}
	fmt.Fprintf(&b, "%s", t.Ending)
	if n := len(t.Commits); n > 0 {
		fmt.Fprintf(&b, " %d", t.Commits[0])
		if n > 1 {
			fmt.Fprintf(&b, " to %d, %d commits", t.Commits[n-1], n)
		}
	}
	fmt.Fprintf(&b, ", confidence %.4f, confirmed %v\n", t.Confidence, t.Verified)
	for _, x := range t.Verification.Subjects {
		fmt.Fprintf(&b, "  %s %d: %d passed, %d failed in %d boots, against %v\n", roles[x.Role], x.Commit, x.Passed, x.Failed, x.Boots, x.Against)
	}
	fmt.Fprintf(&b, "cost %.0f and %.0f to confirm, %d runs, %d builds, %d skipped, forecast %.0f to %.0f\n", t.Cost, t.Verify, t.Runs, t.Builds, t.Skipped, t.Forecast.Search, t.Forecast.High)
	return b.Bytes()
}

var roles = map[bisect.Role]string{bisect.Accused: "accused", bisect.Parent: "parent", bisect.Reverted: "reverted"}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name+".golden")
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), string(got)); d != "" {
		t.Errorf("%s differs; -update writes it anew:\n%s", path, d)
	}
}

// A search that is killed at any step and begins again from what was stored, in
// another order and twice, goes on as if nothing had happened.
func TestResume(t *testing.T) {
	w := Straight(300, 123, .3, .005)
	m := bisect.DefaultModel()
	r := rand.New(rand.NewPCG(7, 7))
	line := slices.Clone(w.Line)
	var stored []bisect.Observation
	evidence := &bisect.Evidence{}
	for step := 0; ; step++ {
		s, err := bisect.NewSearch(line, evidence, m)
		if err != nil {
			t.Fatal(err)
		}
		plan := s.Plan(bisect.Options{Builders: 2})
		again := &bisect.Evidence{}
		mixed := append(slices.Clone(stored), stored...)
		r.Shuffle(len(mixed), func(i, j int) { mixed[i], mixed[j] = mixed[j], mixed[i] })
		for _, o := range mixed {
			if _, err := again.Add(o); err != nil {
				t.Fatal(err)
			}
		}
		resumed, err := bisect.NewSearch(slices.Clone(line), again, m)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(plan, resumed.Plan(bisect.Options{Builders: 2})); d != "" {
			t.Fatalf("step %d, resumed plan differs:\n%s", step, d)
		}
		if plan.Goal == bisect.Stop {
			if plan.Ending != bisect.Culprit || plan.Commits[0] != 123 || !plan.Verification.Done {
				t.Errorf("ends with %+v", plan.Answer)
			}
			return
		}
		for _, a := range plan.Asks {
			if !a.Reverted {
				line[a.Commit].State = bisect.Built
			}
			for n := 0; n < a.Runs; n++ {
				o := bisect.Observation{ID: fmt.Sprint(len(stored)), Commit: a.Commit, Reverted: a.Reverted, Outcome: w.outcome(a, w.boot(a, 0, r), r)}
				if _, err := evidence.Add(o); err != nil {
					t.Fatal(err)
				}
				if stored = append(stored, o); o.Outcome == bisect.Fail {
					break
				}
			}
		}
	}
}
