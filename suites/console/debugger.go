package console

import (
	"bytes"
	"context"
	"fmt"
	"time"

	"github.com/headwatch/headwatch/suites"
	"github.com/headwatch/headwatch/suites/console/guest"
	"github.com/headwatch/headwatch/suites/kernel"
)

const (
	debuggerEntries = 100
	entriesAtOnce   = 10 // of a storm
	// resumes is how soon a writer comes along when the debugger was left: the console's
	// UART must have its interrupts again (FreeBSD 7e7f7beee732, PR 223917).
	resumes = 2 * time.Second
	// underWay is what a writer may have said that still comes when nobody drives the
	// UART any more: its FIFO and a monitor's, in bytes.
	underWay = 64
	// prompt is ddb(4)'s.
	prompt = "db> "
)

// debuggerTitles are what the recognizer calls a debugger that was asked for.
var debuggerTitles = []string{"KDB: enter: sysctl debug.kdb.enter", "stopped in the kernel debugger"}

func (o Options) debuggerCase() suites.Case {
	return suites.Case{
		Name: "c06_debugger", Layer: suites.Functional, OSes: []string{"freebsd"}, Timeout: 5 * time.Minute, Causes: debuggerTitles,
		Summary: "a terminal's writer comes along within 2 s each of 100 times that the debugger is entered and left", Run: o.debugged,
	}
}

// debugged is C06. Its writer is on the UART at which the debugger speaks.
func (o Options) debugged(ctx context.Context, t *suites.T) error {
	b, err := lay(ctx, t, o.Grace)
	if err != nil {
		return err
	}
	if _, err := kernel.Sysctl(ctx, t.Guest, "debug.ddb.scripting.scripts"); err != nil {
		return suites.Skipf("the kernel has no debugger (options DDB): %v", err)
	}
	// Else the agent's own script would reset the machine.
	if err := kernel.SetSysctl(ctx, t.Guest, "debug.ddb.scripting.script", "kdb.enter.sysctl=set $lines=0"); err != nil {
		return fmt.Errorf("script of the debugger: %w", err)
	}
	for t.Metrics["entries"] < debuggerEntries {
		b.seed = t.Rand.Uint64()
		n, err := b.enterAndLeave(ctx)
		if err != nil {
			return err
		}
		if n == 0 {
			return fmt.Errorf("the debugger was never entered in a storm; %v", t.Load())
		}
	}
	return nil
}

// enterAndLeave has the debugger entered some times beside a writer, which must go on
// each time and in the end have said all. It returns how often that was.
func (b *bed) enterAndLeave(ctx context.Context) (entries int, err error) {
	path := b.device("console")
	l, err := b.listen("console")
	if err != nil {
		return 0, err
	}
	defer l.stop()
	var s guest.Storm
	var failed error
	over := make(chan struct{})
	starved := b.t.Guest.Starved()
	go func() {
		defer close(over)
		s, failed = b.storm(ctx, (5 * time.Second).Seconds(),
			guest.Worker{Kind: guest.Lines, Path: path},
			guest.Worker{Kind: guest.Sets, Path: "debug.kdb.enter", Values: []string{"1"}, Count: entriesAtOnce, Rate: 4})
	}()
	d := sitter{writer: 0}
	err = d.sit(ctx, b, l, over)
	<-over
	b.t.Metrics["entries"] += float64(d.entries)
	b.t.Metrics["resume_slowest_s"] = max(b.t.Metrics["resume_slowest_s"], d.slowest.Seconds())
	if err != nil {
		return d.entries, err
	}
	if failed != nil {
		return d.entries, within("debug.kdb.enter", failed)
	}
	tally(b.t.Metrics, s.Work)
	if err := judgeProgress(s.Work, b.t.Guest.Starved()-starved, b.grace); err != nil {
		return d.entries, err
	}
	w := s.Work[0]
	if err := l.until(ctx, func(s *said) bool { return int64(len(s.writers[0])) >= w.Bytes }); err != nil {
		return d.entries, err
	}
	return d.entries, judgeLines(l.writers[0], b.seed, 0, int(w.Ops))
}

// sitter sits at the debugger's prompt.
type sitter struct {
	writer  int
	entries int           // left, with the writer gone on
	slowest time.Duration // until it had

	answered int           // length of what the kernel had said at the last prompt
	left     time.Time     // when it was left; zero: the writer has gone on since
	said     int           // bytes of the writer until then
	starved  time.Duration // of the guest until then
}

// sit leaves the debugger whenever it asks, until over is closed. Its error says that the
// writer did not go on.
func (d *sitter) sit(ctx context.Context, b *bed, l *listener, over <-chan struct{}) error {
	tick := time.NewTicker(pause / 10)
	defer tick.Stop()
	for {
		l.add(l.take())
		if err := d.look(&l.said, time.Now(), b.t.Guest.Starved()); err != nil {
			return err
		}
		if d.asked(&l.said) {
			if err := b.far.Type(ctx, l.name, []byte("c\r")); err != nil {
				return fmt.Errorf("typing at the debugger's prompt: %w", err)
			}
			d.answer(&l.said, time.Now(), b.t.Guest.Starved())
		}
		select {
		case <-tick.C:
		case <-over:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// asked says whether the debugger stands at a prompt that was not answered.
func (d *sitter) asked(s *said) bool {
	return len(s.kernel) > d.answered && bytes.HasSuffix(s.kernel, []byte(prompt))
}

func (d *sitter) answer(s *said, now time.Time, starved time.Duration) {
	d.answered, d.said, d.left, d.starved = len(s.kernel), len(s.writers[d.writer]), now, starved
}

// look sees whether the writer has gone on since the debugger was left.
func (d *sitter) look(s *said, now time.Time, starved time.Duration) error {
	if d.left.IsZero() {
		return nil
	}
	took := now.Sub(d.left) - (starved - d.starved)
	if more := len(s.writers[d.writer]) - d.said; more > underWay {
		d.entries++
		d.slowest, d.left = max(d.slowest, took), time.Time{}
		return nil
	} else if took > resumes {
		return suites.Failf("the writer does not go on %.1f s after the debugger was left: %d bytes came; %d times it had before", took.Seconds(), more, d.entries)
	}
	return nil
}
