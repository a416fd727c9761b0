package web

import (
	"cmp"
	"maps"
	"slices"

	"github.com/headwatch/headwatch/orchestrator"
	"github.com/headwatch/headwatch/suites"
	"github.com/headwatch/headwatch/web/api"
)

// Cell states besides the result words.
const (
	running = "running"
	waiting = "waiting"
)

// Columns that are not a suite.
const (
	buildColumn = "build"
	bootColumn  = "boot"
)

// grid arranges what is known of the commits, newest first. A column exists when
// any shown commit has something to say in it.
func grid(name string, commits []orchestrator.Commit, points []Point, jobs []orchestrator.Job) api.Upstream {
	u := api.Upstream{Name: name, Columns: []api.Column{}, Commits: make([]api.CommitRow, 0, len(commits))}
	shared := sharedBuilds(commits, points)
	open := map[string][]orchestrator.Job{}
	for _, j := range jobs {
		open[j.Build] = append(open[j.Build], j)
	}
	columns := map[api.Column]bool{}
	rows := map[string][]api.Cell{}
	for _, p := range points {
		for _, c := range cells(p, open[p.Build.ID]) {
			c.SharedWith = shared[pointKey{p.Commit, p.Target}]
			columns[c.Column] = true
			rows[p.Commit] = append(rows[p.Commit], c)
		}
	}
	u.Columns = slices.SortedFunc(maps.Keys(columns), compareColumns)
	for _, c := range commits {
		row := api.CommitRow{
			Hash: c.Hash, Parent: c.Parent, Position: c.Position, Author: c.Author,
			Time: c.Time.UTC(), Subject: c.Subject, Cells: rows[c.Hash],
		}
		if row.Cells == nil {
			row.Cells = []api.Cell{}
		}
		slices.SortFunc(row.Cells, func(a, b api.Cell) int { return compareColumns(a.Column, b.Column) })
		u.Commits = append(u.Commits, row)
	}
	if u.Columns == nil {
		u.Columns = []api.Column{}
	}
	return u
}

// compareColumns orders by target, then machine (build has none and comes
// first), then boot before the suites.
func compareColumns(a, b api.Column) int {
	rank := func(c api.Column) int {
		switch c.Name {
		case buildColumn:
			return 0
		case bootColumn:
			return 1
		case suites.Smoke.String():
			return 2
		}
		return 3
	}
	return cmp.Or(cmp.Compare(a.Target, b.Target), cmp.Compare(a.Machine, b.Machine),
		cmp.Compare(rank(a), rank(b)), cmp.Compare(a.Name, b.Name))
}

type pointKey struct{ commit, target string }

// sharedBuilds names, for each commit and target, the nearest older shown commit
// with the same build, or else the nearest newer one.
func sharedBuilds(commits []orchestrator.Commit, points []Point) map[pointKey]string {
	age := map[string]int{}
	for i, c := range commits {
		age[c.Hash] = i
	}
	type buildKey struct{ build, target string }
	users := map[buildKey][]string{}
	for _, p := range points {
		if p.Build.ID != "" {
			k := buildKey{p.Build.ID, p.Target}
			users[k] = append(users[k], p.Commit)
		}
	}
	shared := map[pointKey]string{}
	for k, list := range users {
		slices.SortFunc(list, func(a, b string) int { return cmp.Compare(age[a], age[b]) })
		for i, c := range list {
			switch {
			case i+1 < len(list):
				shared[pointKey{c, k.target}] = list[i+1]
			case i > 0:
				shared[pointKey{c, k.target}] = list[i-1]
			}
		}
	}
	return shared
}

// cells makes the cells of one commit on one target: of the build, of the runs,
// and of open jobs for which there is nothing else to show.
func cells(p Point, open []orchestrator.Job) []api.Cell {
	var out []api.Cell
	if p.Build.Status != 0 {
		out = append(out, api.Cell{Column: api.Column{Target: p.Target, Name: buildColumn},
			Status: p.Build.Status.String(), Reason: p.Build.Reason})
	}
	runs := map[api.Column][]RunTally{}
	for _, t := range p.Runs {
		for _, name := range []string{bootColumn, t.Run.Job.Suite} {
			c := api.Column{Target: p.Target, Machine: t.Run.Job.Machine, Name: name}
			runs[c] = append(runs[c], t)
		}
	}
	for column, list := range runs {
		if c := sum(column, list); c.Status != "" {
			out = append(out, c)
		}
	}
	for _, j := range open {
		column := api.Column{Target: j.Target, Machine: j.Machine, Name: j.Suite}
		if j.Kind == orchestrator.BuildJob {
			column = api.Column{Target: j.Target, Name: buildColumn}
		}
		if j.Target == p.Target && !slices.ContainsFunc(out, func(c api.Cell) bool { return c.Column == column }) {
			out = append(out, api.Cell{Column: column, Status: waiting})
		}
	}
	for i := range out {
		out[i].Build = p.Build.ID
	}
	return out
}

// shownFirst says which status stands for several runs. One failure among passes
// is shown as failed, with both counts: judging flakes is the verdict's work.
// The rig's faults show only when no run told anything.
var shownFirst = []string{"failed", "passed", "broken", "skipped", running}

// sum sums up the runs of one column. The link goes to the newest run that had
// the status shown.
func sum(column api.Column, runs []RunTally) api.Cell {
	c := api.Cell{Column: column}
	newest := slices.SortedFunc(slices.Values(runs), func(a, b RunTally) int { return b.Run.Started.Compare(a.Run.Started) })
	rank := len(shownFirst)
	for _, t := range newest {
		word := runStatus(column, t)
		if column.Name == bootColumn {
			add(&c.Counts, t.Boot)
		} else {
			c.Counts.Add(t.Counts)
		}
		if i := slices.Index(shownFirst, word); i >= 0 && i < rank {
			rank = i
			c.Status, c.Run, c.Reason = word, t.Run.ID, t.Run.Reason
		}
	}
	return c
}

// runStatus is what one run says in a column; empty: nothing.
func runStatus(column api.Column, t RunTally) string {
	switch {
	case column.Name == bootColumn:
		return statusWord(t.Boot)
	case t.Run.State == orchestrator.RunRunning:
		return running
	case t.Boot == suites.Failed:
		return suites.Skipped.String() // a kernel that does not boot says nothing about the suite
	}
	return statusWord(t.Run.Status)
}

func add(c *api.Counts, s suites.Status) {
	switch s {
	case suites.Passed:
		c.Passed++
	case suites.Failed:
		c.Failed++
	case suites.Broken:
		c.Broken++
	case suites.Skipped:
		c.Skipped++
	case suites.ExpectedFailure:
		c.ExpectedFailure++
	}
}
