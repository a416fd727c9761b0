package tcp

import (
	"cmp"
	"fmt"
	"io"
	"slices"

	"github.com/headwatch/headwatch/suites/wire"
	"github.com/headwatch/headwatch/suites/wire/capture"
	"github.com/headwatch/headwatch/suites/wire/judge"
	"github.com/headwatch/headwatch/suites/wire/plot"
)

const (
	maxPictures = 8         // of a bed
	smallTrace  = 128 << 10 // bytes of frames; a capture of them is worth keeping of a case that passed, too
)

// keep leaves what people look at beside the result: pictures of the streams on which
// most happened, and the capture of the NIC, in which each frame has the rules that hit
// it for a comment. Where a file cannot be kept the result's output says so; that is no
// reason for a case to fail.
func (b *Bed) keep(trace *wire.Trace, wrong bool) {
	if b.T.Keep == nil {
		return
	}
	if wrong || frameBytes(trace) <= smallTrace {
		b.T.Save(fmt.Sprintf("nic%d.pcapng", b.NIC.Number()), "application/x-pcapng",
			func(w io.Writer) error { return capture.Write(w, trace) })
	}
	if b.plan.Lenient && !wrong {
		return // hundreds of streams that are all alike
	}
	for _, p := range tellTale(plot.Pictures(trace, judge.Analyze(trace.Events, b.Profile, b.expect()))) {
		b.T.Save(fmt.Sprintf("nic%d-%s", b.NIC.Number(), p.Name()), "image/svg+xml",
			func(w io.Writer) error { return p.SVG(w, plot.Options{}) })
	}
}

// tellTale are the pictures with most to see, in the order of their streams.
func tellTale(all []*plot.Picture) []*plot.Picture {
	seen := func(p *plot.Picture) int { return 1000*p.Findings + 10*(p.Resent+p.Dropped) + min(p.Segments, 9) }
	best := slices.Clone(all)
	slices.SortStableFunc(best, func(p, q *plot.Picture) int { return cmp.Compare(seen(q), seen(p)) })
	best = best[:min(len(best), maxPictures)]
	return slices.DeleteFunc(slices.Clone(all), func(p *plot.Picture) bool { return !slices.Contains(best, p) })
}

func frameBytes(t *wire.Trace) (n int) {
	for i := range t.Events {
		n += len(t.Events[i].Frame)
	}
	return n
}
