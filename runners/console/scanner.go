package console

import (
	"regexp"
	"strings"

	"github.com/headwatch/headwatch/runners"
)

const (
	maxCrashes     = 64       // different crashes kept per log
	maxReportBytes = 64 << 10 // text kept of one report
	maxReportLines = 600
	// maxUntraced is how many lines a warning may have before its backtrace.
	maxUntraced = 100
	// consequence is within how many lines of a report's end a panic is that
	// report's consequence ("Fatal exception") and not a crash of its own.
	consequence = 80
)

// report is a crash while its lines arrive.
type report struct {
	pattern *pattern
	title   string // of its first line and details, without a frame
	text    strings.Builder
	lines   int
	frames  []string // below the machinery, top first
	guesses []string // frames that the unwinder does not vouch for
	traced  bool     // a backtrace began
	fatal   bool
	agent   bool // a Go program's panic: not the kernel's
}

// scanner finds reports in a stream. It is not safe for concurrent use.
type scanner struct {
	lines  splitter
	phases Phases
	open   *report
	last   *report // the one closed last, for its consequences
	since  int     // lines since last was closed
	done   []*report

	agentDeath string // title of the first report that was a Go program's
}

func newScanner() *scanner { return &scanner{} }

func (s *scanner) write(p []byte) {
	s.lines.write(p, s.line)
	s.phases.Write(p)
}

// line takes one complete line.
func (s *scanner) line(raw string) {
	line := clean(raw)
	p, title := match(line)
	s.since++
	switch {
	case p == nil && s.open == nil:
		return
	case p == nil:
		s.add(line)
		return
	case s.open != nil && s.open.absorbs(title):
		s.open.fatal = s.open.fatal || p.fatal
		s.add(line)
		return
	}
	s.close()
	if p.after && s.last != nil && s.since < consequence && follows(s.last, title) {
		s.last.fatal = true
		s.last.keep(line)
		return
	}
	s.open = &report{pattern: p, title: title, fatal: p.fatal, agent: p.agent}
	if !p.fatal && strings.Contains(line, "panic: ") {
		// A warning's words, said as FreeBSD's last.
		s.open.pattern = &pattern{where: p.where, detail: p.detail, end: never, stall: p.stall}
		s.open.fatal = true
	}
	s.add(line)
}

// absorbs says whether a line with a title of its own belongs to the report: a
// fatal one goes on until its end, and init's death follows from the agent's.
func (r *report) absorbs(title string) bool {
	if r.agent {
		return strings.Contains(title, "kill init") || strings.Contains(title, "nowhere without my init")
	}
	return r.fatal
}

// follows says whether a panic is what came of the report before it.
func follows(last *report, title string) bool {
	if last.fatal || last.absorbs(title) {
		return true
	}
	return follow.MatchString(title)
}

// follow are panics that only say that something before them was configured to
// panic.
var follow = regexp.MustCompile(`panic_on_warn|Fatal exception|softlockup: hung tasks|hung_task: blocked tasks|panic_on_oops|RCU Stall|kernel: panic_on`)

// match finds the row of the table that a line belongs to, and the title.
func match(line string) (*pattern, string) {
	for i := range patterns {
		p := &patterns[i]
		if !strings.Contains(line, p.hint) || containsAny(line, p.ignore) {
			continue
		}
		if m := p.find.FindStringSubmatch(line); m != nil {
			return p, shorten(strings.Join(m[1:], ""))
		}
	}
	return nil, ""
}

func containsAny(s string, words []string) bool {
	for _, w := range words {
		if strings.Contains(s, w) {
			return true
		}
	}
	return false
}

// add gives the open report a line and closes it when that was the last.
func (s *scanner) add(line string) {
	r := s.open
	r.keep(line)
	ended := r.frame(line)
	switch p := r.pattern; {
	case p.single, r.lines >= maxReportLines, r.lines >= maxUntraced && !r.traced && !r.fatal:
		s.close()
	case p.end == nil:
		if ended {
			s.close()
		}
	case p.end == lockdepEnd:
		if p.end.MatchString(line) {
			// The frames that name the bug come only now.
			r.frames, r.guesses, r.traced = nil, nil, false
			r.pattern = &pattern{hint: p.hint}
		}
	case r.lines > 1 && p.end.MatchString(line):
		s.close()
	}
}

func (s *scanner) close() {
	if s.open == nil {
		return
	}
	s.last, s.since = s.open, 0
	s.open = nil
	if s.last.agent {
		if s.agentDeath == "" {
			s.agentDeath = s.last.title
		}
		return
	}
	if len(s.done) >= maxCrashes {
		return
	}
	sig := s.last.crash().Signature
	for _, r := range s.done {
		if r.crash().Signature == sig {
			return
		}
	}
	s.done = append(s.done, s.last)
}

// keep adds a line to the text.
func (r *report) keep(line string) {
	r.lines++
	if r.text.Len()+len(line) < maxReportBytes {
		r.text.WriteString(line + "\n")
	}
	if goroutine.MatchString(line) {
		r.agent, r.fatal = true, false
	}
	if r.pattern.detail != nil {
		r.title = shorten(r.pattern.detail(r.title, line))
	}
}

// frame takes a line of a backtrace. It returns true for the first line after
// one.
func (r *report) frame(line string) (ended bool) {
	fn, sure, ok := frame(line)
	if !ok {
		switch {
		case trapMark.MatchString(line), strings.HasSuffix(line, " attempted at:"):
			r.frames, r.guesses = nil, nil
			return false
		case strings.HasPrefix(strings.TrimSpace(line), "<"), strings.HasSuffix(line, "race:"), strings.HasSuffix(line, " at:"):
			return false // "<TASK>", "Call Trace:", "stack backtrace:", "established at:"
		}
		return r.traced
	}
	if !linuxPC.MatchString(line) {
		r.traced = true
	}
	if machinery.MatchString(fn) || len(r.frames) >= 16 {
		return false
	}
	if !sure {
		r.guesses = append(r.guesses, fn)
		return false
	}
	if n := len(r.frames); n > 0 && r.frames[n-1] == fn {
		return false // the program counter and the first frame below it
	}
	r.frames = append(r.frames, fn)
	return false
}

// crash is the report as others see it.
func (r *report) crash() runners.Crash {
	title, frames := r.title, r.frames
	if len(frames) == 0 {
		frames = r.guesses[:min(len(r.guesses), signatureFrames)]
	}
	if r.pattern.where != "" && len(frames) > 0 {
		title += r.pattern.where + frames[0]
	}
	return runners.Crash{Title: title, Signature: signature(title, frames), Text: r.text.String(), Fatal: r.fatal, Stall: r.pattern.stall}
}

// crashes lists what was found, with the report and the line that are still
// arriving.
func (s *scanner) crashes() []runners.Crash {
	t := *s
	t.done = append([]*report(nil), s.done...)
	t.open, t.last = s.open.copy(), s.last.copy()
	if n := len(t.done); n > 0 && t.done[n-1] == s.last {
		t.done[n-1] = t.last
	}
	if p := s.lines.pending(); p != "" {
		t.line(p)
	}
	t.close()
	var out []runners.Crash
	for _, r := range t.done {
		out = append(out, r.crash())
	}
	return out
}

func (r *report) copy() *report {
	if r == nil {
		return nil
	}
	c := &report{pattern: r.pattern, title: r.title, lines: r.lines, traced: r.traced, fatal: r.fatal, agent: r.agent}
	c.text.WriteString(r.text.String())
	c.frames = append(c.frames, r.frames...)
	c.guesses = append(c.guesses, r.guesses...)
	return c
}
