package tcp

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/headwatch/headwatch/suites"
	"github.com/headwatch/headwatch/suites/tcp/guest"
	"github.com/headwatch/headwatch/suites/wire"
	"github.com/headwatch/headwatch/suites/wire/judge"
)

// served is L01 with the guest as the end that accepts.
func served(name string, layer suites.Layer, n int) row {
	return row{
		name: name, layer: layer, timeout: time.Duration(60+n/10) * time.Second,
		summary: fmt.Sprintf("%d and %d times accept, transfer, close: no zone, slab or malloc type grows with them", n, 2*n),
		plan: func(f Family, t *suites.T) Plan {
			s := serving{churn{n: n, content: Content{Size: leakBytes}}}
			return Plan{Stack: patient(), Lenient: true, Run: s.run, Settings: leak(name, layer, n).plan(f, t).Settings,
				// Each round has the same content in both directions.
				Expect: func(x *judge.Expect) {
					x.Sent = func(wire.Flow) io.ReaderAt { return s.content }
				}}
		},
	}
}

// serving is an execution of it.
type serving struct{ churn }

func (s *serving) run(ctx context.Context, b *Bed) error {
	m := &matrix{bed: b}
	if err := m.listen(ctx); err != nil {
		return err
	}
	r := repeated{n: s.n, steps: leakSteps, rounds: func(ctx context.Context, count int) error { return s.rounds(ctx, m, count) }}
	if err := r.make(ctx, warmRounds); err != nil {
		return err
	}
	return r.leakless(ctx, b)
}

// rounds has the guest accept so many connections, in as many workers as the peer has.
// The peer closes first, for Linux would be in TIME_WAIT for a minute.
func (s *serving) rounds(ctx context.Context, m *matrix, count int) error {
	far := &server{content: s.content}
	dial := func(worker int) func(context.Context) error {
		return func(ctx context.Context) error {
			for i := worker; i < count; i += leakWorkers {
				conn, err := m.bed.Stack.Dial(ctx, m.at)
				if err != nil {
					return peers(ctx, "the peer connects", err)
				}
				far.round(conn, "first")
			}
			return nil
		}
	}
	work := []func(context.Context) error{func(ctx context.Context) error {
		var r guest.Rounds
		args := guest.ServeArgs{ID: m.listener.ID, Rounds: guest.RoundsArgs{Count: count, Parallel: leakWorkers, Up: leakBytes, Down: leakBytes,
			End: "first", StallS: stall.Seconds()}}
		if err := m.bed.T.Guest.Call(ctx, guest.OpServe, args, &r); err != nil {
			return within("serve", err)
		}
		return judgeRounds(r, count)
	}}
	for w := range leakWorkers {
		work = append(work, dial(w))
	}
	return all(ctx, work...)
}
