package tcp

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"github.com/headwatch/headwatch/suites"
	"github.com/headwatch/headwatch/suites/tcp/guest"
	"github.com/headwatch/headwatch/suites/wire/peer"
)

const (
	abortRounds  = 64 // of a type, before anything is suspected
	abortSteps   = 2
	abortWorkers = 8
	// abortLimit is how long connections may last that have ended: the longest are those
	// that time out, after 3 s of resending a SYN|ACK (settings of the case) or 2 s of
	// keepalives.
	abortLimit = 12 * time.Second
)

// abort is L02: connections end in every way from every state, and nothing stays in
// use of them.
func abort() row {
	return row{
		name: "l02", layer: suites.Functional, timeout: 8 * time.Minute,
		summary: "reset, abort, close and timeout of connections with unsent, unread, out-of-order, SACKed data, half-open, half-closed: nothing stays in use",
		plan: func(Family, *suites.T) Plan {
			return Plan{
				Script: &peer.ScriptOptions{}, Lenient: true, Uncounted: resentCounts, Run: abortAll,
				Settings: map[string][]Setting{
					"freebsd": {
						{Name: "net.inet.tcp.msl", Value: "100", Why: "TIME_WAIT ends in 0.2 s"},
						{Name: "net.inet.tcp.syncache.rexmtlimit", Value: "1", Why: "tcp_syncache.c; a SYN|ACK is given up after 3 s, not 15"},
					},
					"linux": {{Name: "net.ipv4.tcp_synack_retries", Value: "1", Why: "the same"}},
				},
			}
		},
	}
}

// abortAll does each type of round of the matrix.
func abortAll(ctx context.Context, b *Bed) error {
	m := &matrix{bed: b}
	if err := m.listen(ctx); err != nil {
		return err
	}
	warm := m.rounds(states[0], endings[0])
	if err := warm(ctx, abortWorkers); err != nil {
		return err
	}
	var all []*repeated
	for _, s := range states {
		for _, e := range endings {
			all = append(all, m.repeated(s.name+", "+e.name, m.rounds(s, e)))
		}
	}
	for _, e := range halfOpen {
		all = append(all, m.repeated("half open, "+e.name, func(ctx context.Context, count int) error { return m.halfOpen(ctx, count, e.end) }))
	}
	began := b.Cable.Now()
	if err := screen(ctx, b, all); err != nil {
		return err
	}
	b.Measure("round_s", (b.Cable.Now()-began).Seconds()/float64(len(all)*abortRounds))
	return nil
}

// matrix makes the rounds. It is used by one goroutine at a time.
type matrix struct {
	bed      *Bed
	listener guest.Socket
	at       netip.AddrPort
	port     uint16
}

func (m *matrix) repeated(what string, rounds func(context.Context, int) error) *repeated {
	return &repeated{what: what, n: abortRounds, steps: abortSteps, rounds: rounds,
		quiet: func(ctx context.Context, b *Bed) error { return gone(ctx, b, abortLimit) }}
}

// listen has the guest listen where the rounds connect to.
func (m *matrix) listen(ctx context.Context) (err error) {
	m.listener, m.at, err = m.bed.listenAt(ctx, 0)
	return err
}

// listenAt has the guest listen at a port, 0: any, with room for many connections.
func (b *Bed) listenAt(ctx context.Context, port uint16) (l guest.Socket, at netip.AddrPort, err error) {
	args := guest.ListenArgs{Network: b.Family.Network(), Addr: netip.AddrPortFrom(b.Family.Of(b.Guest()), port).String(), Backlog: 256}
	if err := b.T.Guest.Call(ctx, guest.OpListen, args, &l); err != nil {
		return l, at, within("listen", err)
	}
	if l.Errno != "" {
		return l, at, suites.Failf("listen: %s", l.Errno)
	}
	if at, err = netip.ParseAddrPort(l.Local); err != nil || l.ID == 0 {
		return l, at, fmt.Errorf("the agent listens at %q with socket %d", l.Local, l.ID)
	}
	return l, at, nil
}

// nextPort gives one that was not used for long: all of 20000 others were before.
func (m *matrix) nextPort() uint16 {
	m.port = (m.port + 1) % 20000
	return 10000 + m.port
}

// victim is a connection that is to end. The guest accepted it.
type victim struct {
	b    *Bed
	peer *peer.Conn
	id   int  // the guest's socket; 0: it is closed
	gap  bool // the peer has sent data behind a gap
}

// rounds opens connections, takes them to a state, and ends them, each step for all of
// them before the next one.
func (m *matrix) rounds(s state, e ending) func(context.Context, int) error {
	return func(ctx context.Context, count int) error {
		victims, err := m.open(ctx, count, s.options)
		if err != nil {
			return err
		}
		if err := eachOf(ctx, victims, s.reach); err != nil {
			return err
		}
		if err := eachOf(ctx, victims, e.end); err != nil {
			return err
		}
		if e.wait {
			if err := gone(ctx, m.bed, abortLimit); err != nil {
				return err
			}
		}
		return eachOf(ctx, victims, (*victim).over)
	}
}

// open opens connections from the script to the guest, each from another port.
func (m *matrix) open(ctx context.Context, count int, o peer.ConnOptions) ([]*victim, error) {
	ports := make([]uint16, count)
	for i := range ports {
		ports[i] = m.nextPort()
	}
	return m.openFrom(ctx, ports, o)
}

// openFrom opens a connection from each of the ports.
func (m *matrix) openFrom(ctx context.Context, ports []uint16, o peer.ConnOptions) ([]*victim, error) {
	conns := make([]*peer.Conn, len(ports))
	ids := map[string]int{}
	err := all(ctx,
		func(ctx context.Context) error {
			for i := range conns {
				c, err := m.bed.Script.Dial(ctx, ports[i], m.at, o)
				if err != nil {
					return peers(ctx, "the peer connects", err)
				}
				conns[i] = c
			}
			return nil
		},
		func(ctx context.Context) error {
			for range conns {
				var s guest.Socket
				if err := m.bed.T.Guest.Call(ctx, guest.OpAccept, guest.AcceptArgs{ID: m.listener.ID, TimeoutS: stall.Seconds()}, &s); err != nil {
					return within("accept", err)
				}
				if s.TimedOut {
					return stallf("accept: nothing came of it in %.1f s", s.Duration)
				}
				ids[s.Remote] = s.ID
			}
			return nil
		})
	if err != nil {
		return nil, err
	}
	victims := make([]*victim, len(conns))
	for i, c := range conns {
		id, ok := ids[c.Local.String()]
		if !ok {
			return nil, fmt.Errorf("the agent accepted no connection from %v", c.Local)
		}
		victims[i] = &victim{b: m.bed, peer: c, id: id}
	}
	return victims, nil
}

// eachOf does something with all of them, several at a time.
func eachOf[T any](ctx context.Context, list []T, do func(T, context.Context) error) error {
	workers := make([]func(context.Context) error, min(abortWorkers, len(list)))
	for w := range workers {
		workers[w] = func(ctx context.Context) error {
			for i := w; i < len(list); i += abortWorkers {
				if err := do(list[i], ctx); err != nil {
					return err
				}
			}
			return nil
		}
	}
	return all(ctx, workers...)
}
