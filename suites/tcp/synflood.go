package tcp

import (
	"context"
	"time"

	"github.com/headwatch/headwatch/suites"
	"github.com/headwatch/headwatch/suites/tcp/guest"
	"github.com/headwatch/headwatch/suites/wire"
	"github.com/headwatch/headwatch/suites/wire/judge"
	"github.com/headwatch/headwatch/suites/wire/peer"
)

const (
	synBatch = 100 // SYNs before the guest must have taken them in
	synIdle  = 30 * time.Second
)

// synLimit is how a kernel bounds the connections that are half open.
type synLimit struct {
	flood    int   // SYNs of a flood: enough to hit it
	most     int64 // half-open connections, of all listeners
	cookies  Setting
	counters []string // of SYNs that met a limit
}

// synLimits are those of the bed's settings.
var synLimits = map[string]synLimit{
	// netinet/tcp_syncache.h: TCP_SYNCACHE_HASHSIZE 512 rows of TCP_SYNCACHE_BUCKETLIMIT 30;
	// where a row is full its oldest goes.
	"freebsd": {flood: 15_000, most: 512 * 30, counters: []string{"tcps_sc_bucketoverflow", "tcps_sc_cacheoverflow"},
		cookies: Setting{Name: "net.inet.tcp.syncookies", Why: "tcp_syncache.c"}},
	// net/ipv4/tcp_input.c, tcp_conn_request: inet_csk_reqsk_queue_is_full, by the listener's
	// backlog, which the bed gives as 256; each CPU may be one beyond.
	"linux": {flood: 3000, most: 256 + 16, counters: []string{"TcpExt.TCPReqQFullDrop", "TcpExt.TCPReqQFullDoCookies"},
		cookies: Setting{Name: "net.ipv4.tcp_syncookies", Why: "the same"}},
}

// synFlood is L04: more SYNs than a kernel keeps, of which none is ever completed. Its
// tables stay within their limits, connections that stand live on, with cookies others
// can still be opened; and within 30 s of silence all is as before.
func synFlood() row {
	return row{
		name: "l04", layer: suites.Stress, timeout: 15 * time.Minute,
		summary: "a SYN flood up to the limits, with cookies and without: established connections live, and 30 s later nothing stays in use",
		plan: func(Family, *suites.T) Plan {
			f := &synFlooding{}
			return Plan{Script: &peer.ScriptOptions{}, Lenient: true, Uncounted: resentCounts, Run: f.run, Look: f.look,
				Settings: map[string][]Setting{
					"linux": {{Name: "net.ipv4.tcp_synack_retries", Value: "2", Why: "a SYN|ACK is given up after 7 s, not 63; FreeBSD's 3 make 15 s"}},
				},
				// Each SYN is a stream, and their end does not matter.
				Expect: func(x *judge.Expect) { x.Off = append(x.Off, judge.TooMuch) }}
		},
	}
}

// synFlooding is an execution of L04.
type synFlooding struct {
	*matrix
	limit synLimit
	isn   wire.Seq
	most  int64 // half-open connections that were counted
}

func (f *synFlooding) run(ctx context.Context, b *Bed) error {
	*f = synFlooding{matrix: &matrix{bed: b}, limit: synLimits[b.T.Guest.OS()]}
	if err := f.listen(ctx); err != nil {
		return err
	}
	// With cookies FreeBSD keeps nothing for a minute when it has met the limit
	// (tcp_syncache.c, syncache_pause): so that comes last.
	var kinds []*repeated
	for _, k := range []struct {
		name, value string
	}{{"without cookies", "0"}, {"with cookies", "1"}} {
		cookies := f.limit.cookies
		cookies.Value = k.value
		kinds = append(kinds, &repeated{what: k.name, unit: "SYNs", n: f.limit.flood, steps: 1,
			rounds: func(ctx context.Context, count int) error {
				if err := pin(ctx, b.T.Guest, []Setting{cookies}); err != nil {
					return err
				}
				return f.flood(ctx, count, k.value == "1")
			},
			quiet: func(ctx context.Context, b *Bed) error { return gone(ctx, b, synIdle) }})
	}
	if err := kinds[0].make(ctx, f.limit.flood/10); err != nil { // what grows once
		return err
	}
	began := b.Cable.Now()
	if err := screen(ctx, b, kinds); err != nil {
		return err
	}
	b.Measure("floods_s", (b.Cable.Now() - began).Seconds())
	v, err := f.stranger(ctx)
	if err != nil {
		return within("after the floods", err)
	}
	return v.cut(ctx)
}

// cut takes the connection away at both ends at once.
func (v *victim) cut(ctx context.Context) error {
	if err := v.abort(ctx); err != nil {
		return err
	}
	return v.over(ctx)
}

// flood sends SYNs from other ports each. A connection that stands before is asked after
// each batch, and so the guest is not given more than it can take.
func (f *synFlooding) flood(ctx context.Context, count int, cookies bool) error {
	v, err := f.stranger(ctx)
	if err != nil {
		return within("before the flood", err)
	}
	f.isn += 1 << 24
	for sent := 0; sent < count; {
		for range min(synBatch, count-sent) {
			sent++
			t := wire.Segment{SrcPort: uint16(30_000 + sent%35_000), DstPort: f.at.Port(), Seq: f.isn + wire.Seq(sent), Flags: wire.SYN, Window: 65535}
			t.Options.MSS = 1460
			if err := f.bed.Script.Send(ctx, wire.Packet{Dst: f.at.Addr(), IsTCP: true, TCP: t}); err != nil {
				return err
			}
		}
		if err := v.lives(ctx); err != nil {
			return within("a connection that stood before the flood", err)
		}
	}
	if err := f.bounded(ctx); err != nil {
		return err
	}
	if cookies {
		other, err := f.stranger(ctx)
		if err != nil {
			return within("a new connection amid the flood", err)
		}
		if err := other.cut(ctx); err != nil {
			return err
		}
	}
	return v.cut(ctx)
}

// stranger opens a connection that works in both directions.
func (f *synFlooding) stranger(ctx context.Context) (*victim, error) {
	list, err := f.open(ctx, 1, peer.ConnOptions{})
	if err != nil {
		return nil, err
	}
	if err := list[0].speaks(ctx); err != nil {
		return nil, err
	}
	return list[0], list[0].lives(ctx)
}

// lives has the guest take a byte, and its program read it.
func (v *victim) lives(ctx context.Context) error {
	v.peer.Write([]byte{0})
	if err := v.await(ctx, "the guest acknowledges a byte", func(s *peer.State) bool { return s.RST || s.Una == s.Next }); err != nil {
		return err
	}
	if v.peer.State().RST {
		return suites.Failf("the guest reset it")
	}
	var m guest.Moved
	if err := v.b.T.Guest.Call(ctx, guest.OpReceive, guest.ReceiveArgs{ID: v.id, Bytes: 1, StallS: stall.Seconds()}, &m); err != nil {
		return within("receive", err)
	}
	m.Wrong = false // it is no content's
	return moved("receive", m, 1)
}

// bounded looks how many connections are half open.
func (f *synFlooding) bounded(ctx context.Context) error {
	states, err := tcpStates(ctx, f.bed.T.Guest)
	if err != nil {
		return err
	}
	open := states["SYN_RECEIVED"]
	f.most = max(f.most, open)
	return f.limit.judge(open)
}

func (l synLimit) judge(open int64) error {
	if open > l.most {
		return suites.Failf("%d connections are half open, the limit is %d", open, l.most)
	}
	return nil
}

// look tells whether a limit was met: the kernel's own counters say so.
func (f *synFlooding) look(b *Bed, e *Evidence) error {
	hits := int64(0)
	for _, name := range f.limit.counters {
		hits += e.Own[name]
	}
	b.Measure("limit_hits", float64(hits))
	b.Measure("half_open_most", float64(f.most))
	return nil
}
