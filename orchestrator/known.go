package orchestrator

import (
	"cmp"
	"slices"
	"strings"

	"github.com/headwatch/headwatch/orchestrator/verdict"
)

// Known is what became of a failure in the pipeline's list, for one case on one machine.
type Known struct {
	Machine, Case string
	Reason, Link  string // as the list has it
	Since         int    // position of the oldest commit on which it is expected
	State         verdict.KnownState
	Lacks         int // passes in a row until it lapses
	Lapsed        int // position of the commit at which it did; 0: it has not
}

// expects says whether a failure at a position on the line is this one.
func (k Known) expects(position int) bool {
	return position >= k.Since && (k.Lapsed == 0 || position < k.Lapsed)
}

// caseKey names a case on a machine.
type caseKey struct{ machine, name string }

// reviewKnown says what has become of each failure of the list, by the builds that this
// rig has tested. An entry that lapsed stays so until it leaves the list.
func (p Planner) reviewKnown(v View) []Known {
	before := map[caseKey]Known{}
	for _, k := range v.Known {
		before[caseKey{k.Machine, k.Case}] = k
	}
	builds := v.inOrder()
	out := []Known{}
	for _, at := range p.listed(v) {
		entry := p.entry(at.name, v.Target)
		k, was := before[at]
		k.Machine, k.Case, k.Reason, k.Link = at.machine, at.name, entry.Reason, entry.Link
		if !was {
			k.Since = v.failsSince(at, builds)
		}
		if k.Lapsed == 0 {
			v.review(&k, builds)
		}
		out = append(out, k)
	}
	return out
}

// entry is the first of the list that covers a case; nil: none does.
func (p Planner) entry(name, target string) *verdict.KnownFailure {
	for i, k := range p.Known {
		if k.Covers(name, target) {
			return &p.Known[i]
		}
	}
	return nil
}

// listed are the cases of the list that a machine has ever told of: here, or before the
// rig changed.
func (p Planner) listed(v View) []caseKey {
	seen := map[caseKey]bool{}
	for k := range v.Tallies {
		seen[caseKey{k.Machine, k.Case}] = true
	}
	for _, k := range v.Known {
		seen[caseKey{k.Machine, k.Case}] = true
	}
	var out []caseKey
	for at := range seen {
		if p.entry(at.name, v.Target) != nil {
			out = append(out, at)
		}
	}
	slices.SortFunc(out, func(a, b caseKey) int {
		return cmp.Or(strings.Compare(a.machine, b.machine), strings.Compare(a.name, b.name))
	})
	return out
}

// placed is a build with the position of the oldest commit that has it.
type placed struct {
	build    string
	position int
}

// inOrder lists the builds of the line, each once, oldest first.
func (v View) inOrder() []placed {
	seen := map[string]bool{}
	var out []placed
	for _, c := range v.Line {
		if id := v.Inputs[c.Hash]; !seen[id] {
			seen[id] = true
			out = append(out, placed{id, c.Position})
		}
	}
	return out
}

// failsSince is the position from which on a case has failed up to now, which is why it
// is in the list: of the builds that told anything the newest ones that did not just
// pass. It is the newest one's when that passed, and the line's end when none told.
func (v View) failsSince(at caseKey, builds []placed) int {
	since := 0
	for i := len(builds) - 1; i >= 0; i-- {
		n := v.Tallies[TallyKey{Build: builds[i].build, Machine: at.machine, Case: at.name}]
		if n.Passed+n.Failed == 0 {
			continue
		}
		if n.Failed == 0 && since > 0 {
			break
		}
		since = builds[i].position
		if n.Failed == 0 {
			break
		}
	}
	if since == 0 && len(builds) > 0 {
		since = builds[len(builds)-1].position
	}
	return since
}

// review judges an entry by the builds since it is expected.
func (v View) review(k *Known, builds []placed) {
	var told []verdict.KnownBuild
	var at []int
	suite, _, _ := strings.Cut(k.Case, "/")
	ran := v.ran(k.Machine, suite)
	for _, b := range builds {
		n := v.Tallies[TallyKey{Build: b.build, Machine: k.Machine, Case: k.Case}]
		if b.position < k.Since || n == (verdict.Counts{}) && !ran[b.build] {
			continue
		}
		told, at = append(told, verdict.KnownBuild{Counts: n, Ran: ran[b.build]}), append(at, b.position)
	}
	r := verdict.ReviewKnown(told)
	k.State, k.Lacks = r.State, r.Lacks
	if r.State == verdict.Lapsed {
		k.Lapsed = at[r.At]
	}
}

// ran lists the builds on which a suite came to an end on a machine.
func (v View) ran(machine, suite string) map[string]bool {
	out := map[string]bool{}
	for k, n := range v.Runs {
		if k.Machine == machine && k.Suite == suite && n.Finished > n.Broken {
			out[k.Build] = true
		}
	}
	return out
}

// excuse marks the results that known failures account for. They say nothing about the
// build: nobody is accused of them, no layer stops at them, and no run repeats them.
func (v *View) excuse(known []Known) {
	byCase := map[caseKey]Known{}
	for _, k := range known {
		byCase[caseKey{k.Machine, k.Case}] = k
	}
	v.excused = map[TallyKey]bool{}
	if len(byCase) == 0 {
		return
	}
	position := map[string]int{}
	for _, b := range v.inOrder() {
		position[b.build] = b.position
	}
	for k, n := range v.Tallies {
		entry, ok := byCase[caseKey{k.Machine, k.Case}]
		if at, onLine := position[k.Build]; ok && onLine && n.Failed > 0 && entry.expects(at) {
			v.excused[k] = true
		}
	}
}

// judgeCase is the verdict on a case, and how many more runs could give one.
func (v View) judgeCase(k TallyKey) (verdict.Verdict, int) {
	if v.excused[k] {
		return verdict.Skip, 0
	}
	return verdict.Judge(v.Tallies[k])
}

// stopsLayer says whether a case keeps what is above its layer from being tested.
func (v View) stopsLayer(k TallyKey) bool {
	n := v.Tallies[k]
	got, _ := v.judgeCase(k)
	return got != verdict.Good && !v.excused[k] && (k.Case == CaseBoot || !onlySkipped(n))
}
