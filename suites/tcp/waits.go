package tcp

import (
	"context"
	"time"

	"github.com/headwatch/headwatch/suites"
	"github.com/headwatch/headwatch/suites/wire"
	"github.com/headwatch/headwatch/suites/wire/peer"
)

const (
	waitRounds = 64
	waitPorts  = 8 // that are used again and again
	waitLimit  = 12 * time.Second
	// waitBuckets bounds the TIME_WAITs of Linux, which last a minute: what comes beyond
	// is taken away at once.
	waitBuckets = "16"
)

// waits is L05: connections that the guest closes first wait for 2 MSL, and nothing stays
// of them: when the time is over, when a new connection takes their place (RFC 9293,
// section 3.10.7.4; RFC 6191), and when there are too many.
func waits() row {
	return row{
		name: "l05", layer: suites.Functional, timeout: 4 * time.Minute,
		summary: "TIME_WAIT that expires, is used again, is one too many: nothing stays in use",
		plan: func(Family, *suites.T) Plan {
			return Plan{
				Script: &peer.ScriptOptions{}, Lenient: true, Uncounted: resentCounts, Run: waitAll,
				Settings: map[string][]Setting{
					"freebsd": {{Name: "net.inet.tcp.msl", Value: "100", Why: "TIME_WAIT ends in 0.2 s"}, localWait},
					"linux":   {{Name: "net.ipv4.tcp_max_tw_buckets", Value: waitBuckets, Why: "inet_timewait_sock.c; TIME_WAIT lasts a minute, whatever is set"}},
				},
			}
		},
	}
}

// waitAll does each way for a TIME_WAIT to end.
func waitAll(ctx context.Context, b *Bed) error {
	m := &matrix{bed: b}
	if err := m.listen(ctx); err != nil {
		return err
	}
	w := &timeWaits{matrix: m}
	if err := w.again(ctx, waitPorts); err != nil { // what grows once
		return err
	}
	gone := func(ctx context.Context, b *Bed) error { return gone(ctx, b, waitLimit) }
	of := func(what string, rounds func(context.Context, int) error) *repeated {
		return &repeated{what: what, n: waitRounds, steps: abortSteps, rounds: rounds, quiet: gone}
	}
	last := map[string]string{"linux": "too many", "freebsd": "expired"}[b.T.Guest.OS()]
	return screen(ctx, b, []*repeated{of("used again", w.again), of(last, w.once)})
}

// timeWaits makes connections that end in TIME_WAIT.
type timeWaits struct {
	*matrix
	isn wire.Seq // of the next: above all before it
}

// once leaves so many behind, each from another port. Those that are too many for Linux
// are gone when the peer's FIN comes.
func (w *timeWaits) once(ctx context.Context, count int) error {
	victims, err := w.open(ctx, count, peer.ConnOptions{})
	if err != nil {
		return err
	}
	end := (*victim).waits
	if w.bed.T.Guest.OS() == "linux" {
		end = (*victim).parts
	}
	if err := eachOf(ctx, victims, end); err != nil {
		return err
	}
	return w.clear(ctx, victims)
}

// again makes connections from the same few ports: each takes the place of one that
// waits.
func (w *timeWaits) again(ctx context.Context, count int) error {
	ports := make([]uint16, waitPorts)
	for i := range ports {
		ports[i] = 31000 + uint16(i)
	}
	var victims []*victim
	for done := 0; done < count; done += waitPorts {
		for _, v := range victims {
			v.peer.Forget()
		}
		w.isn += 1 << 20
		var err error
		if victims, err = w.openFrom(ctx, ports, peer.ConnOptions{ISN: w.isn}); err != nil {
			return within("a connection in place of one in TIME_WAIT", err)
		}
		if err := eachOf(ctx, victims, (*victim).waits); err != nil {
			return err
		}
	}
	return w.clear(ctx, victims)
}

// clear takes away what would last a minute on Linux (RFC 1337), and forgets the peers'
// ends.
func (w *timeWaits) clear(ctx context.Context, victims []*victim) error {
	if w.bed.T.Guest.OS() == "linux" {
		if err := eachOf(ctx, victims, (*victim).reset); err != nil {
			return err
		}
	}
	return eachOf(ctx, victims, (*victim).over)
}

// waits has the guest close first, and the peer then: the guest's end is in TIME_WAIT.
func (v *victim) waits(ctx context.Context) error {
	if err := v.parts(ctx); err != nil {
		return err
	}
	if v.peer.State().RST {
		return suites.Failf("the guest answers the peer's FIN with a reset")
	}
	return nil
}

// parts has the guest close first, and the peer then.
func (v *victim) parts(ctx context.Context) error {
	if err := v.close(ctx, false); err != nil {
		return err
	}
	if err := v.await(ctx, "the guest's FIN comes", func(s *peer.State) bool { return s.FIN }); err != nil {
		return err
	}
	v.peer.CloseWrite()
	return v.await(ctx, "the guest acknowledges the FIN", func(s *peer.State) bool { return s.RST || s.Una == s.Next })
}
