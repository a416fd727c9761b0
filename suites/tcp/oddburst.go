package tcp

import (
	"context"
	"fmt"
	"time"

	"github.com/headwatch/headwatch/suites"
	"github.com/headwatch/headwatch/suites/tcp/guest"
	"github.com/headwatch/headwatch/suites/wire"
	"github.com/headwatch/headwatch/suites/wire/peer"
)

const (
	burstSegments = 40
	burstWatch    = time.Second
)

// burstLimits are how many of a burst of old acknowledgements a stack answers within a
// second (RFC 5961, section 10). One that is missing answers all of them.
var burstLimits = map[string]int{
	// net/ipv4/tcp_input.c, tcp_oow_rate_limited: one in net.ipv4.tcp_invalid_ratelimit,
	// 500 ms. FreeBSD's base stack has no such limit in July 2022: ack_war_cnt of
	// netinet/tcp_subr.c is for the stacks rack and bbr.
	"linux": 4,
}

// burst is a connection that gets many old acknowledgements at once.
type burst struct {
	flow     wire.Flow
	from, to time.Duration
}

// flood has a listener of its own: others may have connections that nobody accepted.
func (o *oddities) flood(ctx context.Context, b *Bed, port uint16) error {
	m := &matrix{bed: b, port: port}
	if err := m.listen(ctx); err != nil {
		return err
	}
	victims, err := m.open(ctx, 1, peer.ConnOptions{})
	if err != nil {
		return within("burst", err)
	}
	v := victims[0]
	s := v.peer.State()
	o.burst = burst{flow: wire.Flow{Guest: v.peer.Remote, Peer: v.peer.Local}, from: b.Cable.Now()}
	for range burstSegments {
		v.peer.Send(wire.Segment{Flags: wire.ACK, Seq: s.Next - 1_000_000, Ack: s.RcvNext})
	}
	over := time.NewTimer(burstWatch)
	defer over.Stop()
	select {
	case <-over.C:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	o.burst.to = b.Cable.Now()
	if err := v.hears(ctx); err != nil {
		return within("after a burst of old acknowledgements", err)
	}
	if err := v.over(ctx); err != nil {
		return err
	}
	return within("close of the listening socket", b.T.Guest.Call(ctx, guest.OpClose, guest.CloseArgs{ID: m.listener.ID}, nil))
}

// look counts what came of the burst.
func (x burst) look(b *Bed, e *Evidence) error {
	asked, answers := dialogue(e.Trace, x.flow, x.from, x.to)
	b.Measure("answers_to_a_burst", float64(answers))
	if asked < burstSegments {
		return fmt.Errorf("burst: the guest was given %d of %d segments", asked, burstSegments)
	}
	if limit, ok := burstLimits[b.T.Guest.OS()]; ok && answers > limit {
		return suites.Failf("%d old acknowledgements at once got %d answers within %v, and %d are the limit: whoever sends some makes it send many",
			asked, answers, burstWatch, limit)
	}
	return nil
}
