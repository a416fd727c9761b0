package tcp

import (
	"context"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/headwatch/headwatch/suites"
	"github.com/headwatch/headwatch/suites/kernel"
	"github.com/headwatch/headwatch/suites/wire"
	"github.com/headwatch/headwatch/suites/wire/judge"
)

// Evidence is what is known when a case has been done.
type Evidence struct {
	*judge.Analysis
	Trace   *wire.Trace
	Profile judge.Profile
	// Kernel is what its TCP counted meanwhile, by the judge's names and by its own;
	// empty where it does not tell.
	Kernel map[judge.Counter]int64
	Own    kernel.Counters
	// counted is when the counters were read for the second time.
	counted time.Duration
}

// Stream is the stream of a connection, nil when nothing of it was on the wire.
func (e *Evidence) Stream(c *Conn) *judge.Stream {
	for _, s := range e.Streams {
		if s.Flow == c.Flow {
			return s
		}
	}
	return nil
}

// try does the case once and says what came of it: of its traffic, of what the judge
// found on the wire, of the kernel's counters, and of the case's own look.
func (b *Bed) try() error {
	began := b.Cable.Now()
	b.first = len(b.conns)
	if b.first == 0 {
		began = 0
	}
	err := b.because(b.plan.Run(b.ctx, b))
	e := &Evidence{Profile: b.Profile, counted: b.Cable.Now()}
	if err == nil && b.before != nil {
		var after kernel.Counters
		if after, err = counted(b.ctx, b.T.Guest); err == nil {
			e.Kernel, e.Own = neutral(b.T.Guest.OS(), b.before, after), after.Diff(b.before)
			b.before = after
		}
		err = b.because(err)
	}
	e.Trace = since(b.Cable.Trace(), began)
	e.Analysis = judge.Analyze(e.Trace.Events, b.Profile, b.expect())
	if b.plan.Lenient {
		e.Findings = slices.DeleteFunc(e.Findings, func(f judge.Finding) bool { return rank(f) > 0 })
	}
	var hosts []judge.Finding
	e.Findings, hosts = b.hunger.excused(e.Findings)
	if n := fragments(e.Trace); n > 0 {
		return fmt.Errorf("%d fragments of TCP came from the guest: this QEMU segments what the NIC is given to segment (TSO) by IP; switch its tso off", n)
	}
	if err = conclude(err, e, b.uncounted()); err == nil && b.plan.Look != nil {
		err = b.plan.Look(b, e)
	}
	if err == nil {
		err = heldUp(&b.hunger, hosts)
	}
	return err
}

// fragments counts those of TCP that the guest sent. No TCP here sends any: before
// version 8.0 QEMU makes them of TSO for e1000e and vmxnet3.
func fragments(t *wire.Trace) (n int) {
	var p wire.Packet
	for i := range t.Events {
		if e := &t.Events[i]; e.Dir == wire.FromGuest {
			if p.Decode(e.Frame); p.Fragment && p.Proto == wire.ProtoTCP {
				n++
			}
		}
	}
	return n
}

// causes are the counters of why something was sent again. Where losses overlap the wire
// cannot always tell which of several was meant; how much was, it can.
var causes = []judge.Counter{judge.Timeouts, judge.FastRetransmits, judge.SACKSegments, judge.Probes}

// uncounted are the counters that are not compared. Those of causes hang on when the
// guest knew what.
func (b *Bed) uncounted() []judge.Counter {
	if b.plan.Lenient {
		return append(slices.Clone(b.plan.Uncounted), causes...)
	}
	return b.plan.Uncounted
}

// since is the part of a trace that came from at on.
func since(t *wire.Trace, at time.Duration) *wire.Trace {
	i := slices.IndexFunc(t.Events, func(e wire.Event) bool { return e.At >= at })
	part := *t
	if i < 0 {
		i = len(t.Events)
	}
	part.Events = part.Events[i:]
	return &part
}

// do does the case, again when that may tell another story, takes the bed away, and
// keeps what people may want to look at.
func (b *Bed) do() error {
	var err error
	late := 0
	for b.round = 0; b.round < max(b.plan.Rounds, 1) && err == nil; b.round++ {
		err = b.try()
		for again := 1; again < b.plan.Tries && worthAnotherTry(err); again++ {
			late++
			err = b.try()
		}
	}
	if b.plan.Tries > 1 {
		b.Measure("late_tries", float64(late))
	}
	trace, damaged := b.close()
	if damaged != nil {
		err = fmt.Errorf("the wire is damaged: %w", damaged)
	}
	err = excuse(err, b.T.Load())
	b.keep(trace, err != nil || len(b.T.Guest.Crashes()) > 0)
	return within(b.Name, err)
}

// expect is what the judge may know of the traffic.
func (b *Bed) expect() judge.Expect {
	b.mu.Lock()
	defer b.mu.Unlock()
	contents := map[wire.Flow]io.ReaderAt{}
	for _, c := range b.conns {
		contents[c.Flow] = c.Up
	}
	x := judge.Expect{Until: b.Cable.Now(), Sent: func(f wire.Flow) io.ReaderAt { return contents[f] }}
	if b.plan.Expect != nil {
		b.plan.Expect(&x)
	}
	return x
}

// timeless are findings that no lack of CPU can cause. What the guest knew when it did
// something, and how long it took, is another matter.
var timeless = []judge.Code{
	judge.WrongContent, judge.ContentChanged, judge.MSSExceeded, judge.BadChecksum, judge.Malformed,
	judge.AckAhead, judge.FalseSACK, judge.BadRST, judge.BadEcho, judge.TSMissing, judge.TooMuch,
}

// conclude weighs what the traffic's end, the wire and the counters say. It does
// nothing.
func conclude(err error, e *Evidence, uncounted []judge.Counter) error {
	found := finding(e)
	if status, reason := suites.Classify(err); err != nil && found != nil {
		_, first := suites.Classify(found)
		switch {
		case status == suites.Failed:
			return suffix(err, fmt.Sprintf("%s; on the wire: %s", reason, first))
		case isPeers(err):
			return suffix(found, fmt.Sprintf("%s; %s", first, reason))
		}
	}
	if err != nil {
		return err
	}
	if found != nil {
		return found
	}
	return e.mismatch(uncounted)
}

// finding is the judge's findings as one failure, those first that no host can cause;
// nil: there are none.
func finding(e *Evidence) error {
	if len(e.Findings) == 0 {
		return nil
	}
	found := slices.Clone(e.Findings)
	slices.SortStableFunc(found, func(f, g judge.Finding) int { return rank(f) - rank(g) })
	f := &found[0]
	text := f.String()
	for i := range found[1:min(len(found), maxTold)] {
		text += "; " + found[i+1].String()
	}
	if n := max(0, len(found)-maxTold) + e.Omitted; n > 0 {
		text += fmt.Sprintf("; and %d more findings", n)
	}
	if f.Code == judge.TooMuch {
		return fmt.Errorf("%s", text)
	}
	if rank(*f) == 0 {
		return suites.Failf("%s", text)
	}
	return latef("%s", text)
}

// maxTold is how many findings a reason tells.
const maxTold = 3

// rank is 0 for findings that no lack of CPU can cause.
func rank(f judge.Finding) int {
	if slices.Contains(timeless, f.Code) {
		return 0
	}
	return 1
}

// suffix is a failure like err with another text.
func suffix(err error, text string) error {
	if t, ok := err.(*timely); ok {
		return &timely{suites.Failf("%s", text), t.again}
	}
	return suites.Failf("%s", text)
}

// mismatch compares the kernel's counters with the wire.
func (e *Evidence) mismatch(uncounted []judge.Counter) error {
	if len(e.Kernel) == 0 || e.Trace.Left > 0 || e.resentAfter(e.counted) {
		return nil
	}
	compared := map[judge.Counter]int64{}
	for c, n := range e.Kernel {
		if !slices.Contains(uncounted, c) {
			compared[c] = n
		}
	}
	// Why something was sent again the wire can only tell from what the guest had time
	// to know.
	if found := e.CheckCounters(compared); len(found) > 0 {
		return latef("%s", found[0].Text)
	}
	return nil
}

// resentAfter says whether something was sent again since t: nobody knows whether
// counters that were read from then on include it.
func (e *Evidence) resentAfter(t time.Duration) bool {
	for _, s := range e.Streams {
		for i := range s.Sent {
			if s.Sent[i].At >= t && s.Sent[i].Again > 0 {
				return true
			}
		}
	}
	return false
}

// each runs a case on every NIC with a wire, one after the other, with a bed of its
// own for each.
func each(ctx context.Context, t *suites.T, f Family, r *row) error {
	found := false
	for n := range t.Guest.MACs() {
		if t.Guest.Wire(n) == nil {
			continue
		}
		found = true
		b, err := lay(ctx, t, n, f, r.plan(f, t))
		if err != nil {
			return err
		}
		if err := b.do(); err != nil {
			return err
		}
	}
	if !found {
		return suites.Skipf("needs a NIC on a wire, the machine has none")
	}
	return nil
}
