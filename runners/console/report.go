package console

import (
	"regexp"
	"slices"
	"strings"

	"github.com/headwatch/headwatch/runners"
)

const (
	maxReportBytes = 64 << 10 // text kept of one report
	maxReportLines = 600
	maxFrames      = 32
	// maxUntraced is how many lines a warning may have before its backtrace.
	maxUntraced = 100
	// maxForeign is how many lines of other processors a backtrace may have between
	// two of its own.
	maxForeign = 3
	// maxPlaced is within how many lines of its start a report's file:line is.
	maxPlaced = 8
)

// report is a crash while its lines arrive.
type report struct {
	pattern *pattern
	kind    runners.Kind
	title   string         // of its first line and details, without a frame
	end     *regexp.Regexp // the pattern's, or a panic's
	text    strings.Builder
	lines   int
	place   string
	frames  []runners.Frame // below the machinery, innermost first
	guesses []runners.Frame // that the unwinder does not vouch for
	above   []runners.Frame // above the trap: the trouble's handling
	traced  bool            // a backtrace began
	foreign int             // lines since its last frame
	whole   bool            // it is over; further ones are other threads'
	trapped bool            // it has crossed a trap
	fatal   bool
	agent   bool // a Go program's panic: not the kernel's

	signature string // of a report that is over; empty: not yet computed
}

func newReport(p *pattern, title, line string) *report {
	r := &report{pattern: p, kind: p.kind, title: title, end: p.end, fatal: p.fatal, agent: p.agent}
	if !p.fatal && !p.agent && strings.Contains(line, "panic: ") {
		r.lastWords() // a warning's words, said as FreeBSD's last
	}
	return r
}

// lastWords makes the report that of a panic.
func (r *report) lastWords() { r.fatal, r.end = true, bsdEnd }

// absorbs says whether a line with a title of its own belongs to the report: a
// fatal one goes on until its end, a warning may lead to a panic, and init's death
// follows from the agent's.
func (r *report) absorbs(p *pattern, title string) bool {
	if r.agent {
		return strings.Contains(title, "kill init") || strings.Contains(title, "nowhere without my init")
	}
	return r.fatal || p.alone || r.pattern.leads != nil && r.pattern.leads.MatchString(title)
}

// rename gives the report the name of the one it turned out to be.
func (r *report) rename(p *pattern, title string) {
	r.pattern, r.kind, r.title, r.end, r.fatal = p, p.kind, title, p.end, p.fatal
	r.frames, r.guesses, r.above, r.traced, r.whole = nil, nil, nil, false, false
}

// add takes a line, the first included, and says whether it was the last.
func (r *report) add(line string) bool {
	r.keep(line)
	ended := r.trace(line)
	wait := r.pattern.wait
	if wait == 0 {
		wait = maxUntraced
	}
	switch {
	case r.pattern.single && r.end == nil, r.lines >= maxReportLines, r.lines >= wait && !r.traced && !r.fatal:
		return true
	case r.end == nil:
		return ended
	case r.end == lockdepEnd:
		if r.end.MatchString(line) {
			// The frames that name the bug come only now.
			r.frames, r.guesses, r.traced, r.whole, r.foreign, r.end = nil, nil, false, false, 0, nil
		}
		return false
	}
	return r.lines > 1 && r.end.MatchString(line)
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
	if r.place == "" && !r.traced && r.lines <= maxPlaced {
		r.place = placeOf(line)
	}
}

// trace takes a line of a backtrace. It returns true for the first line after
// one.
func (r *report) trace(line string) (ended bool) {
	if r.whole {
		return true
	}
	f, sure, pc, ok := frame(line)
	if !ok {
		return r.between(line)
	}
	r.foreign = 0
	if !pc {
		r.traced = true
	}
	if machinery.MatchString(f.Func) || len(r.frames) >= maxFrames {
		return false
	}
	if !sure {
		if len(r.guesses) < signatureFrames {
			r.guesses = append(r.guesses, f)
		}
		return false
	}
	if n := len(r.frames); n > 0 && f.Func != "" && r.frames[n-1].Func == f.Func && r.frames[n-1].Offset == f.Offset {
		return false // the program counter and the first frame below it
	}
	r.frames = append(r.frames, f)
	return false
}

// between takes a line that is no frame.
func (r *report) between(line string) (ended bool) {
	switch {
	case trapMark.MatchString(line):
		if !r.trapped {
			r.trapped, r.above = true, r.frames
			r.frames, r.guesses = nil, nil
		}
		return false
	case strings.HasSuffix(line, " attempted at:"):
		r.frames, r.guesses = nil, nil
		return false
	case traceMark.MatchString(line), strings.HasSuffix(line, "race:"), strings.HasSuffix(line, " at:"):
		if r.fatal && r.traced && traceHead.MatchString(line) {
			r.whole = true
		}
		return false
	}
	if !r.traced {
		return false
	}
	r.foreign++
	// Other processors may speak between the lines of a panic.
	r.whole = !r.fatal || r.foreign > maxForeign || traceHead.MatchString(line)
	return r.whole
}

// stack is what the signature and others see of the frames.
func (r *report) stack() []runners.Frame {
	switch {
	case r.pattern.asked && len(r.frames) > 0 && idle.MatchString(r.frames[0].Func):
		return nil
	case len(r.frames) > 0:
		return r.frames
	case len(r.above) > 0: // a trap from user mode has nothing below it
		return r.above
	}
	return r.guesses
}

// crash is the report as others see it.
func (r *report) crash() runners.Crash {
	title, frames := r.title, r.stack()
	if r.pattern.in && len(frames) > 0 && frames[0].Func != "" && !strings.Contains(title, frames[0].Func) {
		title += " in " + frames[0].Func
	}
	sig := r.signature
	if sig == "" {
		sig = signature(title, frames)
	}
	return runners.Crash{
		Title: title, Signature: sig, Text: r.text.String(), Fatal: r.fatal, Stall: r.pattern.stall,
		Kind: r.kind, Where: r.place, Frames: slices.Clone(frames),
	}
}

func (r *report) copy() *report {
	if r == nil {
		return nil
	}
	c := *r
	c.text = strings.Builder{}
	c.text.WriteString(r.text.String())
	c.frames, c.guesses, c.above = slices.Clone(r.frames), slices.Clone(r.guesses), slices.Clone(r.above)
	return &c
}
