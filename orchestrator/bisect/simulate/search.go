package simulate

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/headwatch/headwatch/orchestrator/bisect"
)

// Trial is one search and what came of it. Costs are in runs.
type Trial struct {
	bisect.Answer         // at the end
	Right         bool    // it is so, or its candidates hold the culprit
	First         float64 // the confidence that the search itself ended with
	WasRight      bool    // and whether it was right then
	Cost          float64
	Runs          int
	Builds        int
	Skipped       int // commits that could not be built or booted
	Plans         int
	Verify        float64 // what the confirmation cost, beyond Cost
	Verified      bool
	Forecast      bisect.Forecast
	Steps         []string // one line for each plan, if they were asked for
}

// Options are how to search.
type Options struct {
	Model   bisect.Model
	Plan    bisect.Options
	Steps   bool
	Confirm bool                        // go on to the confirmation
	Watch   func(*bisect.Search, []int) // sees each search with the culprits
	Timing  func(time.Duration)         // sees how long each plan took
}

// maxPlans ends a search that does not end by itself.
const maxPlans = 20_000

// Search runs one search to its end.
func (w World) Search(ctx context.Context, o Options, r *rand.Rand) (t Trial, err error) {
	line, evidence := slices.Clone(w.Line), &bisect.Evidence{}
	narrowed := false
	for t.Plans = 0; t.Plans < maxPlans; t.Plans++ {
		if err := ctx.Err(); err != nil {
			return t, err
		}
		began := time.Now()
		s, err := bisect.NewSearch(line, evidence, o.Model)
		if err != nil {
			return t, err
		}
		if t.Plans == 0 {
			if t.Forecast = s.Forecast(); o.Plan.Budget > 0 {
				if err := t.Forecast.Check(o.Plan.Budget); err != nil {
					return t, err
				}
			}
		}
		o.Plan.Spent = t.Cost + t.Verify
		p := s.Plan(o.Plan)
		if o.Timing != nil {
			o.Timing(time.Since(began))
		}
		if o.Watch != nil && !narrowed {
			o.Watch(s, w.Culprits)
		}
		t.Answer = p.Answer
		if !narrowed && (p.Goal == bisect.Confirm || p.Goal == bisect.Stop) {
			t.First, t.WasRight = p.Confidence, w.right(p.Answer)
		}
		narrowed = narrowed || p.Goal == bisect.Confirm || p.Goal == bisect.Stop
		if p.Goal == bisect.Stop || p.Goal == bisect.Confirm && !o.Confirm {
			t.step(o, s, p, "")
			break
		}
		before := t
		var said []string
		for _, a := range p.Asks {
			text, err := w.ask(a, line, evidence, &t, o, r)
			if err != nil {
				return t, err
			}
			said = append(said, text)
		}
		if spent := t.Cost - before.Cost; narrowed {
			t.Cost, t.Verify = before.Cost, before.Verify+spent
			t.Runs, t.Builds = before.Runs, before.Builds
		}
		t.step(o, s, p, strings.Join(said, ", "))
	}
	t.Verified = t.Verification.Done && len(t.Verification.Subjects) > 0
	t.Right = w.right(t.Answer)
	return t, nil
}

func (w World) right(a bisect.Answer) bool {
	for _, c := range w.Culprits {
		switch a.Ending {
		case bisect.BadBefore: // or nothing is: the good end fails, too
			return c == 0 || c >= len(w.Line)
		case bisect.NoCulprit, bisect.Irreproducible:
			return c >= len(w.Line)
		}
		if slices.Contains(a.Commits, c) {
			return true
		}
	}
	return false
}

// ask obtains a commit and runs it.
func (w World) ask(a bisect.Ask, line bisect.Line, e *bisect.Evidence, t *Trial, o Options, r *rand.Rand) (string, error) {
	name := strconv.Itoa(a.Commit)
	cost := o.Model.BuildCost
	if line[a.Commit].Cost > 0 {
		cost = line[a.Commit].Cost
	}
	if a.Reverted {
		name = "without " + name
		if n, _ := e.Of(a.Commit, true); n == (bisect.Count{}) {
			t.Cost, t.Builds = t.Cost+cost, t.Builds+1
		}
	} else if line[a.Commit].State == bisect.NotBuilt {
		t.Cost, t.Builds = t.Cost+cost, t.Builds+1
		name += " built"
		if line[a.Commit].State = w.build(a.Commit); line[a.Commit].State != bisect.Built {
			t.Skipped++
			return strings.Replace(name, "built", "breaks", 1), nil
		}
	}
	var n bisect.Count
	var boot string
	var chance float64
	perBoot := max(1, o.Model.PerBoot)
	for k := 0; k < a.Runs && n.Failed == 0; k++ {
		if k%perBoot == 0 {
			if boot = ""; perBoot > 1 {
				boot = fmt.Sprint("boot of run ", int(t.Cost+t.Verify))
			}
			chance = w.boot(a, t.Runs, r)
		}
		t.Runs++
		t.Cost++
		x := bisect.Observation{
			ID: strconv.FormatFloat(t.Cost+t.Verify, 'g', -1, 64), Commit: a.Commit, Reverted: a.Reverted, Boot: boot,
			Outcome: w.outcome(a, chance, r),
		}
		if _, err := e.Add(x); err != nil {
			return "", err
		}
		switch x.Outcome {
		case bisect.Fail:
			n.Failed++
		case bisect.Pass:
			n.Passed++
		default:
			n.Other++
		}
	}
	return fmt.Sprintf("%s: %s", name, tell(n)), nil
}

func tell(n bisect.Count) string {
	var out []string
	for _, x := range []struct {
		n    int
		what string
	}{{n.Passed, "passed"}, {n.Failed, "failed"}, {n.Other, "crashed otherwise"}} {
		if x.n > 0 {
			out = append(out, fmt.Sprint(x.n, " ", x.what))
		}
	}
	return strings.Join(out, " and ")
}

var goals = map[bisect.Goal]string{bisect.Reproduce: "reproduce", bisect.Narrow: "narrow", bisect.Confirm: "confirm", bisect.Stop: "stop"}

// step notes a plan in one line.
func (t *Trial) step(o Options, s *bisect.Search, p bisect.Plan, said string) {
	if !o.Steps {
		return
	}
	post := s.Posterior()
	line := fmt.Sprintf("%-9s p %.2f (%.2f to %.2f)", goals[p.Goal], post.P.Mean, post.P.Low, post.P.High)
	if said != "" {
		line += "  " + said
	}
	if len(p.Ahead) > 0 {
		line += fmt.Sprintf("  ahead %v", p.Ahead)
	}
	t.Steps = append(t.Steps, line)
}
