package main

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
	"golang.org/x/term"

	"github.com/headwatch/headwatch/orchestrator"
)

// progress shows long work: a bar on a terminal, lines elsewhere, nothing when
// quiet.
type progress struct {
	mu       sync.Mutex
	w        io.Writer
	quiet    bool
	began    time.Time
	bars     *mpb.Progress
	bar      *mpb.Bar
	done     int
	closed   bool
	openJobs func() int // jobs not done yet; nil: unknown
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

func newProgress(w io.Writer, quiet bool) *progress {
	p := &progress{w: w, quiet: quiet, began: time.Now()}
	if !quiet && isTerminal(w) {
		p.bars = mpb.New(mpb.WithOutput(w), mpb.WithWidth(40))
		p.bar = p.bars.AddBar(0,
			mpb.PrependDecorators(decor.Name("jobs "), decor.CountersNoUnit("%d/%d ")),
			mpb.AppendDecorators(decor.Elapsed(decor.ET_STYLE_MMSS)))
	}
	return p
}

// say prints a line above the bar.
func (p *progress) say(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.quiet || p.closed {
		return
	}
	out := p.w
	if p.bars != nil {
		out = p.bars
	}
	fmt.Fprintf(out, "%6.1fs %s\n", time.Since(p.began).Seconds(), fmt.Sprintf(format, args...))
}

// event shows what happened.
func (p *progress) event(e orchestrator.Event) {
	switch e.Kind {
	case orchestrator.EventBuild:
		p.say("build of %s %s%s", short(e.Commit), e.Status, because(e.Reason))
	case orchestrator.EventRun:
		p.say("run %s on %s %s%s", e.Run, short(e.Commit), e.Status, because(e.Reason))
	case orchestrator.EventResult:
		if e.Status != "passed" {
			p.say("run %s: %s %s%s", e.Run, e.Case, e.Status, because(e.Reason))
		}
		return
	default:
		return
	}
	p.advance()
}

func (p *progress) advance() {
	if p.bar == nil {
		return
	}
	open := 0
	if p.openJobs != nil {
		open = p.openJobs()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.done++
	p.bar.SetTotal(int64(p.done+open), false)
	p.bar.SetCurrent(int64(p.done))
}

// close takes the bar away. Later lines are not shown.
func (p *progress) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return
	}
	p.closed = true
	if p.bars != nil {
		p.bar.Abort(true)
		p.bars.Wait()
	}
}

func because(reason string) string {
	if reason == "" {
		return ""
	}
	return ": " + reason
}

// short is how people read an object id.
func short(hash string) string { return hash[:min(12, len(hash))] }

// seconds is a duration as people read it.
func seconds(s float64) string {
	return time.Duration(s * float64(time.Second)).Round(100 * time.Millisecond).String()
}
