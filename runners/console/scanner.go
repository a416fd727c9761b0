package console

import (
	"regexp"
	"slices"
	"strings"

	"github.com/headwatch/headwatch/runners"
)

const (
	maxCrashes  = 64  // different crashes kept
	maxFindings = 128 // different findings kept
	// consequence is within how many bytes of a report's end a panic is that
	// report's consequence ("Fatal exception") and not a crash of its own.
	consequence = 8 << 10
)

// Finding is something worth knowing that is by itself no evidence against the
// kernel, such as a prompt, a dump, a limit reached, or another boot.
type Finding struct {
	Kind   runners.Kind
	Title  string // without numbers that differ from one time to the next
	Line   string // the first line that said so
	Offset int64  // its place in all that was said
	Count  int    // how often it was said
}

// Scanner recognizes what a kernel says about its troubles while it arrives. It is
// not safe for concurrent use.
type Scanner struct {
	table  *table
	lines  lines
	phases Phases
	boots  boots
	open   *report
	last   *report // the one closed last, for its consequences
	closed int64   // where last was closed
	done   []*report
	found  []Finding
	// expected are titles that begin no report.
	expected []string

	agentDeath string // title of the first report that was a Go program's
}

// NewScanner returns a scanner that has heard nothing.
func NewScanner() *Scanner { return &Scanner{table: known()} }

// Write takes more of the console; it never fails.
func (s *Scanner) Write(p []byte) (int, error) {
	s.lines.write(p, s.table.words, s)
	return len(p), nil
}

// eager says that every line matters: a report is arriving, or nothing was said.
func (s *Scanner) eager() bool { return s.open != nil || s.phases.reached == 0 }

// line takes one complete line.
func (s *Scanner) line(raw []byte, at int64) {
	line := clean(string(raw))
	s.phases.see(line)
	var p *pattern
	var title string
	if s.table.words.has([]byte(line)) {
		if isBanner(line) {
			s.banner(line, at)
		}
		s.notice(line, at)
		if p, title = match(s.table.crashes, line); s.open == nil && slices.Contains(s.expected, title) {
			p = nil
		}
	}
	switch {
	case p == nil && s.open == nil:
	case p == nil:
		s.add(line, at)
	case s.open == nil || !s.continues(p, title, line):
		s.begin(p, title, line, at)
	default:
		s.add(line, at)
	}
}

// continues says whether a line with a title of its own goes on with the open
// report, and makes of the report what the line says it is.
func (s *Scanner) continues(p *pattern, title, line string) bool {
	r := s.open
	switch {
	case r.pattern.yields != nil && r.pattern.yields.MatchString(title):
		r.rename(p, title)
	case !r.absorbs(p, title):
		return false
	case r.agent || r.fatal:
		r.fatal = r.fatal || p.fatal
	case strings.Contains(line, "panic: "):
		r.lastWords()
	}
	return true
}

// begin starts a report, or adds its first line to the one that led to it.
func (s *Scanner) begin(p *pattern, title, line string, at int64) {
	s.close(at)
	if p.after && s.last != nil && at-s.closed < consequence && follows(s.last, p, title) {
		s.last.fatal = true
		s.last.keep(line)
		return
	}
	s.open = newReport(p, title, line)
	s.add(line, at)
}

// follows says whether a panic is what came of the report before it.
func follows(last *report, p *pattern, title string) bool {
	return last.fatal || last.absorbs(p, title) || follow.MatchString(title)
}

// follow are panics that only say that something before them was configured to
// panic.
var follow = regexp.MustCompile(`panic_on_warn|Fatal exception|softlockup: hung tasks|hung_task: blocked tasks|panic_on_oops|RCU Stall|kernel: panic_on`)

// add gives the open report a line and closes it when that was the last.
func (s *Scanner) add(line string, at int64) {
	if s.open.add(line) {
		s.close(at)
	}
}

// close ends the open report; each signature is kept once.
func (s *Scanner) close(at int64) {
	r := s.open
	if r == nil {
		return
	}
	s.last, s.closed, s.open = r, at, nil
	if r.agent {
		if s.agentDeath == "" {
			s.agentDeath = r.title
		}
		return
	}
	r.signature = r.crash().Signature
	s.boots.crashed = s.boots.crashed || r.fatal
	same := func(other *report) bool { return other.signature == r.signature }
	if len(s.done) < maxCrashes && !slices.ContainsFunc(s.done, same) {
		s.done = append(s.done, r)
	}
}

// notice records a line that is worth knowing.
func (s *Scanner) notice(line string, at int64) {
	if p, title := match(s.table.notices, line); p != nil {
		s.boots.leaving = s.boots.leaving || p.leaves
		s.find(p.kind, title, line, at)
	}
}

func (s *Scanner) find(k runners.Kind, title, line string, at int64) {
	for i := range s.found {
		if s.found[i].Title == title {
			s.found[i].Count++
			return
		}
	}
	if len(s.found) < maxFindings {
		s.found = append(s.found, Finding{Kind: k, Title: title, Line: strings.ToValidUTF8(line, "?"), Offset: at, Count: 1})
	}
}

// ended is the scanner as it would be if nothing more came: the line and the
// report under way are over. s itself does not change.
func (s *Scanner) ended() *Scanner {
	pending := s.lines.buf
	if s.open == nil && (len(pending) == 0 || !s.eager() && !worth(pending, s.table.words)) {
		return s
	}
	t := *s
	t.done, t.found = slices.Clone(s.done), slices.Clone(s.found)
	t.open, t.last = s.open.copy(), s.last.copy()
	if n := len(t.done); n > 0 && t.done[n-1] == s.last {
		t.done[n-1] = t.last
	}
	if len(pending) > 0 {
		t.line(pending, s.lines.base)
	}
	t.close(s.lines.base)
	return &t
}

// Crashes lists what was found, oldest first, each signature once, with the report
// and the line that are still arriving.
func (s *Scanner) Crashes() []runners.Crash {
	var out []runners.Crash
	for _, r := range s.ended().done {
		out = append(out, r.crash())
	}
	return out
}

// Findings lists what else is worth knowing, in the order of the first time each
// was said.
func (s *Scanner) Findings() []Finding { return slices.Clone(s.ended().found) }

// Banners is how many times a kernel began to speak; more than one means that the
// machine was reset.
func (s *Scanner) Banners() int { return s.ended().boots.count }

// Arriving says whether a report has begun and is not over: who waits a little
// longer, 10 s at most, gets the rest of it. A kernel that stands at its debugger's
// prompt has said everything.
func (s *Scanner) Arriving() bool {
	return s.open != nil && phaseOf(clean(string(s.lines.buf))) != Debugger
}

// Phase says how far the boot came.
func (s *Scanner) Phase() Phase { return s.phases.last(s.lines.buf) }
