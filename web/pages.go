package web

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/headwatch/headwatch/orchestrator"
	"github.com/headwatch/headwatch/web/api"
)

// How often the script reads a page again, in seconds.
const (
	overviewRefresh = 10
	runRefresh      = 2
)

type overviewPage struct {
	api.Overview
	Results []wordCount
	Grids   []gridView
	Legend  []string
}

type wordCount struct {
	Word string
	N    int
}

// words lists the counts that are not zero.
func words(c api.Counts) []wordCount {
	all := []wordCount{{"passed", c.Passed}, {"failed", c.Failed}, {"broken", c.Broken},
		{"skipped", c.Skipped}, {"expected_failure", c.ExpectedFailure}}
	return slices.DeleteFunc(all, func(w wordCount) bool { return w.N == 0 })
}

func (s *site) overviewPage(w http.ResponseWriter, r *http.Request) error {
	doc, err := s.overview(r.Context())
	if err != nil {
		return err
	}
	p := overviewPage{Overview: doc, Results: words(doc.Health.Results), Legend: []string{"passed", "failed", "broken", "skipped", running, waiting}}
	for _, u := range doc.Upstreams {
		p.Grids = append(p.Grids, viewGrid(u))
	}
	s.page(w, r, http.StatusOK, "overview.html", pageData{Title: "Overview", Refresh: overviewRefresh, Body: p})
	return nil
}

func (s *site) overviewJSON(w http.ResponseWriter, r *http.Request) error {
	doc, err := s.overview(r.Context())
	if err != nil {
		return err
	}
	s.sendJSON(w, r, http.StatusOK, doc)
	return nil
}

func (s *site) health(w http.ResponseWriter, r *http.Request) error {
	ctx := r.Context()
	regressions, err1 := s.regressions(ctx)
	jobs, err2 := s.read.OpenJobs(ctx)
	runs, err3 := s.read.RunningRuns(ctx)
	doc, err4 := s.healthDoc(ctx, len(jobs), len(runs), len(standing(regressions)))
	if err := errors.Join(err1, err2, err3, err4); err != nil {
		s.log.Error("health", "err", err)
		return refuse(http.StatusServiceUnavailable, "unavailable", "the store does not answer; the server's log has the details")
	}
	s.sendJSON(w, r, http.StatusOK, doc)
	return nil
}

func (s *site) regressionsJSON(w http.ResponseWriter, r *http.Request) error {
	docs, err := s.regressions(r.Context())
	if err != nil {
		return err
	}
	s.sendJSON(w, r, http.StatusOK, docs)
	return nil
}

func (s *site) commitPage(w http.ResponseWriter, r *http.Request) error {
	doc, err := s.commit(r.Context(), r.PathValue("hash"))
	if err != nil {
		return err
	}
	s.page(w, r, http.StatusOK, "commit.html", pageData{
		Title: short(doc.Hash) + " " + doc.Subject, JSON: api.PathCommits + doc.Hash, Body: doc})
	return nil
}

func (s *site) commitJSON(w http.ResponseWriter, r *http.Request) error {
	doc, err := s.commit(r.Context(), r.PathValue("hash"))
	if err != nil {
		return err
	}
	s.sendJSON(w, r, http.StatusOK, doc)
	return nil
}

type regressionPage struct {
	api.Regression
	Evidence []evidence
}

// evidence is what was counted for the case on one commit of the range.
type evidence struct {
	Commit, Role, Subject string
	Counts                api.Counts
}

func (s *site) regressionPage(w http.ResponseWriter, r *http.Request) error {
	ctx := r.Context()
	id, err := strconv.ParseInt(r.PathValue("id"), 10, 64)
	if err != nil {
		return refuse(http.StatusNotFound, "not_found", "regression %q: want a number", visible(r.PathValue("id")))
	}
	reg, err := s.read.Regression(ctx, id)
	if err != nil {
		return s.missing(err, "regression", r.PathValue("id"))
	}
	var p regressionPage
	if p.Regression, err = s.regression(ctx, reg); err != nil {
		return err
	}
	p.Evidence = []evidence{{Commit: p.Good, Role: "last good"}, {Commit: p.Bad, Role: "first known bad"}}
	switch p.Culprit {
	case "":
	case p.Bad:
		p.Evidence[1].Role = "first bad, culprit"
	default: // the culprit is not the oldest commit known to be bad
		p.Evidence = slices.Insert(p.Evidence, 1, evidence{Commit: p.Culprit, Role: "culprit"})
	}
	if p.Good == "" { // bad at the first look
		p.Evidence = p.Evidence[1:]
	}
	for i := range p.Evidence {
		if err := s.count(ctx, reg, &p.Evidence[i]); err != nil {
			return err
		}
	}
	s.page(w, r, http.StatusOK, "regression.html", pageData{
		Title: fmt.Sprintf("Regression %d: %s", p.ID, p.Case), JSON: api.PathRegressions, Body: p})
	return nil
}

// count fills in what was counted on the build that the commit has for the
// target. For case "build" the build's own outcome is the result.
func (s *site) count(ctx context.Context, reg orchestrator.Regression, e *evidence) error {
	c, err := s.read.Commit(ctx, e.Commit)
	if err != nil {
		if s.opt.Unknown(err) {
			return nil
		}
		return err
	}
	e.Subject = c.Subject
	builds, err := s.read.CommitBuilds(ctx, c.Hash)
	if err != nil {
		return err
	}
	for _, b := range builds {
		if b.Target != reg.Target {
			continue
		}
		if reg.Case == buildColumn {
			add(&e.Counts, b.Status)
			continue
		}
		n, err := s.read.Tally(ctx, orchestrator.TallyKey{Build: b.ID, Machine: reg.Machine, Case: reg.Case})
		if err != nil {
			return err
		}
		// A commit has a build for each rig: the one that told most is the evidence.
		if n.Passed+n.Failed >= e.Counts.Passed+e.Counts.Failed {
			e.Counts = api.Counts{Passed: n.Passed, Failed: n.Failed, Broken: n.Broken, Skipped: n.Skipped}
		}
	}
	return nil
}

// gridView is a grid with every cell in its place, and group heads.
type gridView struct {
	Name    string
	Groups  []group
	Columns []columnView
	Rows    []rowView
}

type group struct {
	Target, Machine string
	Span            int
}

type columnView struct {
	api.Column
	First bool // of its group
}

type rowView struct {
	api.CommitRow
	Cells []cellView
}

type cellView struct {
	api.Cell
	First bool
	Link  string
	Tip   string
	Bad   int // how many failed; 0: not shown
	// For the first cell of a group:
	GroupMachine string
	Empty        bool // no cell of the group has a status
}

// viewGrid groups the columns by target and machine. A target's build belongs to
// its first machine's group.
func viewGrid(u api.Upstream) gridView {
	v := gridView{Name: u.Name}
	for _, c := range u.Columns {
		last := len(v.Groups) - 1
		if last >= 0 && v.Groups[last].Target == c.Target && cmp.Or(v.Groups[last].Machine, c.Machine) == c.Machine {
			v.Groups[last].Machine = c.Machine
			v.Groups[last].Span++
			v.Columns = append(v.Columns, columnView{Column: c})
			continue
		}
		v.Groups = append(v.Groups, group{c.Target, c.Machine, 1})
		v.Columns = append(v.Columns, columnView{Column: c, First: true})
	}
	for _, row := range u.Commits {
		have := map[api.Column]api.Cell{}
		for _, c := range row.Cells {
			have[c.Column] = c
		}
		v.Rows = append(v.Rows, v.row(row, have))
	}
	return v
}

// row puts a commit's cells under the columns, with holes where there is none.
func (v gridView) row(row api.CommitRow, have map[api.Column]api.Cell) rowView {
	rv := rowView{CommitRow: row}
	for _, g := range v.Groups {
		first := len(rv.Cells)
		for _, col := range v.Columns[first : first+g.Span] {
			cell := have[col.Column]
			cell.Column = col.Column
			rv.Cells = append(rv.Cells, viewCell(cell, col.First, row.Hash))
		}
		cells := rv.Cells[first:]
		cells[0].GroupMachine = g.Machine
		cells[0].Empty = !slices.ContainsFunc(cells, func(c cellView) bool { return c.Status != "" })
	}
	return rv
}

func viewCell(c api.Cell, first bool, commit string) cellView {
	v := cellView{Cell: c, First: first}
	switch {
	case c.Run != "":
		v.Link = "/run/" + c.Run
	case c.Name == buildColumn && c.Status != waiting:
		v.Link = "/commit/" + commit
	}
	if c.Status == "failed" {
		v.Bad = c.Counts.Failed
	}
	v.Tip = tip(c)
	return v
}

// tip says a cell in words, for those who point at it and those who hear it.
func tip(c api.Cell) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s", visible(c.Name), word(c.Status))
	if n := c.Counts; n.Total() > 1 {
		var parts []string
		for _, p := range words(n) {
			parts = append(parts, fmt.Sprintf("%d %s", p.N, word(p.Word)))
		}
		b.WriteString(" (" + strings.Join(parts, ", ") + ")")
	}
	if c.Reason != "" {
		b.WriteString(": " + visible(c.Reason))
	}
	if c.SharedWith != "" {
		b.WriteString("; same build as " + short(c.SharedWith))
	}
	return b.String()
}
