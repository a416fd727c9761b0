package main

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/headwatch/headwatch/orchestrator"
	"github.com/headwatch/headwatch/orchestrator/bisect"
)

// picture shows a search as it goes on: on a terminal it draws itself anew, elsewhere
// it says a line when something changed.
type picture struct {
	w        io.Writer
	terminal bool
	quiet    bool
	drawn    int // lines on the terminal
	said     string
}

func newPicture(w io.Writer, terminal, json bool) *picture {
	return &picture{w: w, terminal: terminal, quiet: json}
}

// pictureWidth is how many columns the line of commits has.
const pictureWidth = 72

func (p *picture) draw(a orchestrator.Advance) {
	switch {
	case p.quiet:
	case p.terminal:
		lines := pictureOf(a, pictureWidth)
		var b strings.Builder
		if p.drawn > 0 {
			fmt.Fprintf(&b, "\x1b[%dA", p.drawn)
		}
		for _, l := range lines {
			fmt.Fprintf(&b, "\r\x1b[K%s\n", l)
		}
		p.drawn = len(lines)
		io.WriteString(p.w, b.String())
	default:
		if now := doing(a); now != p.said {
			p.said = now
			fmt.Fprintf(p.w, "%s; %s\n", now, spent(a))
		}
	}
}

func (p *picture) close() { p.quiet = true }

// levels are eighths of a column.
var levels = []rune(" ▁▂▃▄▅▆▇█")

// pictureOf draws how likely each commit is the culprit, the oldest at the left, and
// below it what was run: + passed, x failed, ! both, - cannot be tested.
func pictureOf(a orchestrator.Advance, width int) []string {
	n := len(a.Commits)
	width = min(width, n)
	if width == 0 {
		return nil
	}
	mass, most := make([]float64, width), 0.0
	marks := []rune(strings.Repeat("·", width))
	for i := range n {
		at := i * width / n
		if i < len(a.Posterior.Mass) {
			mass[at] += a.Posterior.Mass[i]
			most = max(most, mass[at])
		}
		marks[at] = mark(marks[at], a, i)
	}
	bar := make([]rune, width)
	for i, m := range mass {
		bar[i] = ' '
		if m > 1e-6 && most > 0 {
			bar[i] = levels[max(1, int(m/most*float64(len(levels)-1)+.5))]
		}
	}
	return []string{
		string(bar),
		string(marks),
		fmt.Sprintf("%s .. %s, %d commits; likeliest %s", short(a.Commits[0].Hash), short(a.Commits[n-1].Hash), n, likeliest(a)),
		doing(a),
		spent(a),
	}
}

// mark is what a column shows that has another commit in it, too.
func mark(old rune, a orchestrator.Advance, i int) rune {
	now := '·'
	switch c := a.Counts[i]; {
	case c.Failed > 0 && c.Passed > 0:
		now = '!'
	case c.Failed > 0:
		now = 'x'
	case c.Passed > 0:
		now = '+'
	case a.States[i].State == bisect.Unbuildable || a.States[i].State == bisect.Unbootable:
		now = '-'
	}
	switch {
	case now == '·' || old == now || old == '!':
		return old
	case old == '·' || old == '-':
		return now
	case now == '-':
		return old
	}
	return '!'
}

// likeliest names the commit that leads.
func likeliest(a orchestrator.Advance) string {
	top := -1
	for i, m := range a.Posterior.Mass {
		if top < 0 || m > a.Posterior.Mass[top] {
			top = i
		}
	}
	if top < 0 {
		return "unknown"
	}
	c := a.Commits[top]
	return fmt.Sprintf("%s %.0f %% %s", short(c.Hash), 100*a.Posterior.Mass[top], oneLine(c.Subject, 40))
}

var goals = map[bisect.Goal]string{
	bisect.Reproduce: "reproducing it", bisect.Narrow: "narrowing", bisect.Confirm: "confirming", bisect.Stop: "done",
}

// doing says what a search does now.
func doing(a orchestrator.Advance) string {
	if a.Stuck != "" {
		return "stuck: " + a.Stuck
	}
	var asks []string
	for _, k := range a.Plan.Asks {
		verb := fmt.Sprintf("up to %d runs of", k.Runs)
		if s := a.States[k.Commit].State; s == bisect.NotBuilt {
			verb = "building"
		}
		asks = append(asks, verb+" "+short(a.Commits[k.Commit].Hash))
	}
	return strings.Join(append([]string{goals[a.Plan.Goal]}, asks...), ", ")
}

// spent says what a search has cost, and will.
func spent(a orchestrator.Advance) string {
	c := a.Cost
	text := fmt.Sprintf("%d runs and %d builds, %v so far", c.Runs, c.Builds, (c.RunTime + c.BuildTime).Round(time.Second))
	if c.EachRun > 0 && !a.Done() {
		left := func(runs float64) time.Duration {
			return time.Duration(runs * float64(c.EachRun)).Round(time.Second)
		}
		text += fmt.Sprintf("; about %v to go, less than %v nine times in ten", left(a.Forecast.Search+a.Forecast.Verify), left(a.Forecast.High+a.Forecast.Verify))
	}
	return text
}

// oneLine is foreign text for a terminal, at most n runes of it.
func oneLine(s string, n int) string {
	out := []rune(printable(s))
	return string(out[:min(n, len(out))])
}
