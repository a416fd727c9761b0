package tcp

import (
	"context"
	"fmt"
	"time"

	"github.com/headwatch/headwatch/suites"
	"github.com/headwatch/headwatch/suites/wire"
	"github.com/headwatch/headwatch/suites/wire/peer"
)

// The path of P01. The window keeps what is outstanding below what the path and its
// queue hold, so that nothing is lost and congestion control plays no part once slow
// start is over. What is in the queue, 0.19 s of the link, is for how long the guest
// may be held up before that shows.
const (
	bulkBytes  = 4 << 20
	bulkRate   = 10_000_000 // bit/s
	bulkRTT    = 20 * time.Millisecond
	bulkScale  = 2
	bulkWindow = 65535 << bulkScale
	bulkQueue  = 384 << 10
	bulkOff    = 10 // percent from the model
)

// bulk is P01: 4 MiB over a link that the wire makes slow. How long that takes follows
// from the link, not from the CPU.
func bulk() row {
	return row{
		name: "p01", layer: suites.Smoke, timed: true, timeout: 45 * time.Second,
		summary: "4 MiB through 10 Mbit/s and 20 ms: as long as the model says, 10 % more or less",
		plan: func(Family, *suites.T) Plan {
			return Plan{Script: &peer.ScriptOptions{}, Tries: 3, Rules: wire.Path(bulkRate, wire.Duration(bulkRTT), bulkQueue), Run: sendBulk, Look: judgeBulk}
		},
	}
}

func sendBulk(ctx context.Context, b *Bed) error {
	c, err := b.DialScript(ctx, Active, peer.ConnOptions{Window: 65535, Scale: bulkScale}, map[string]string{"sndbuf": "524288"})
	if err != nil {
		return err
	}
	if err := c.Send(ctx, bulkBytes, false); err != nil {
		return err
	}
	if err := c.Arrived(ctx); err != nil {
		return err
	}
	return c.Close(ctx)
}

func judgeBulk(b *Bed, e *Evidence) error {
	if err := noneAgain(e); err != nil {
		return err
	}
	took, err := completion(e, b.Conns()[0])
	if err != nil {
		return err
	}
	model := b.path().completion(bulkBytes)
	b.Measure("completion_s", took.Seconds())
	b.Measure("goodput_bit_per_s", bulkBytes*8/took.Seconds())
	b.Measure("model_s", model.Seconds())
	if off := (took - model).Abs(); off > model*bulkOff/100 {
		return latef("4 MiB took %.3f s, the path allows %.3f s: more than %d %% off", took.Seconds(), model.Seconds(), bulkOff)
	}
	return nil
}

// path is that of P01 for the model.
func (b *Bed) path() path {
	head := 14 + 20 + 20 // Ethernet, IPv4, TCP
	if b.Family == V6 {
		head += 20
	}
	return path{rate: bulkRate, rtt: bulkRTT, mss: b.MSS(), head: head, first: 10, window: bulkWindow / b.MSS()}
}

// completion is the time on the wire from the SYN of a connection to the arrival of
// the last byte that the guest was told to send.
func completion(e *Evidence, c *Conn) (time.Duration, error) {
	s := e.Stream(c)
	if s == nil || len(s.Sent) == 0 {
		return 0, fmt.Errorf("nothing of the connection was on the wire")
	}
	began, ended := time.Duration(-1), time.Duration(-1)
	for i := range s.Sent {
		switch p := &s.Sent[i]; {
		case p.Flags.Has(wire.SYN) && began < 0:
			began = p.At
		case p.End > c.Up.Size && p.Start <= c.Up.Size && !p.Lost && ended < 0: // offset 1 is byte 0
			ended = p.Arrived
		}
	}
	if began < 0 || ended < began {
		return 0, fmt.Errorf("the connection's SYN or its last byte is not in the trace of %d frames", e.Trace.Frames)
	}
	return ended - began, nil
}
