package tcp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/headwatch/headwatch/suites"
	"github.com/headwatch/headwatch/suites/kernel"
	"github.com/headwatch/headwatch/suites/tcp/guest"
	"github.com/headwatch/headwatch/suites/wire"
	"github.com/headwatch/headwatch/suites/wire/judge"
)

const (
	smokeRounds = 300
	longRounds  = 2000
	warmRounds  = 60
	leakBytes   = 4 << 10 // each way in a round
	leakWorkers = 4
	leakSteps   = 2 // samples in each n rounds
	quietLimit  = 5 * time.Second
)

// leak is L01: n and then 2n connections are opened, carry data both ways and are
// closed, and nothing stays in use of them.
func leak(name string, layer suites.Layer, n int, families ...Family) row {
	return row{
		name: name, layer: layer, families: families, timeout: time.Duration(30+n/20) * time.Second,
		summary: fmt.Sprintf("%d and %d times connect, transfer, close: no zone, slab or malloc type grows with them", n, 2*n),
		plan: func(Family, *suites.T) Plan {
			c := churn{n: n, content: Content{Size: leakBytes}}
			return Plan{
				Stack: patient(), Lenient: true, Run: c.run,
				Settings: map[string][]Setting{"freebsd": {{Name: "net.inet.tcp.msl", Value: "100", Why: "TIME_WAIT ends in 0.2 s"}}},
				// Each round has the same content in both directions.
				Expect: func(x *judge.Expect) {
					x.Sent = func(wire.Flow) io.ReaderAt { return c.content }
				},
			}
		},
	}
}

// churn is one execution of L01.
type churn struct {
	n       int
	content Content
}

func (c *churn) run(ctx context.Context, b *Bed) error {
	s, err := c.serve(b)
	if err != nil {
		return err
	}
	err = c.churn(ctx, b, s)
	return errors.Join(err, s.close())
}

// churn makes the rounds and looks what is left of them.
func (c *churn) churn(ctx context.Context, b *Bed, s *server) error {
	r := repeated{n: c.n, steps: leakSteps, rounds: func(ctx context.Context, count int) error { return c.rounds(ctx, b, s, count) }}
	if err := r.make(ctx, warmRounds); err != nil {
		return err
	}
	began := b.Cable.Now()
	if err := r.leakless(ctx, b); err != nil {
		return err
	}
	b.Measure("round_s", (b.Cable.Now()-began).Seconds()/float64(r.done-warmRounds))
	return nil
}

// rounds has the guest make so many connections. On FreeBSD it closes each other batch
// first, and goes through TIME_WAIT; Linux would keep that for a minute.
func (c *churn) rounds(ctx context.Context, b *Bed, s *server, count int) error {
	ends := []string{"first"}
	if b.T.Guest.OS() == "freebsd" {
		ends = append(ends, "close")
	}
	for i, end := range ends {
		part := count / len(ends)
		if i == 0 {
			part = count - part*(len(ends)-1)
		}
		s.setEnd(end)
		args := guest.RoundsArgs{Network: b.Family.Network(), Addr: s.at.String(), Count: part, Parallel: leakWorkers,
			Up: leakBytes, Down: leakBytes, End: end, StallS: stall.Seconds()}
		if err := b.rounds(ctx, args); err != nil {
			return err
		}
	}
	return nil
}

// quiesce waits until the guest has no connection left, at most quietLimit: what then
// still is there is told by the sample.
func quiesce(ctx context.Context, b *Bed) {
	limit := time.NewTimer(quietLimit)
	defer limit.Stop()
	again := time.NewTicker(100 * time.Millisecond)
	defer again.Stop()
	for {
		if open, err := connections(ctx, b.T.Guest); err != nil || open == 0 {
			return
		}
		select {
		case <-again.C:
		case <-limit.C:
			return
		case <-ctx.Done():
			return
		}
	}
}

// connections counts what is neither closed nor listens.
func connections(ctx context.Context, g suites.Guest) (open int64, err error) {
	states, err := tcpStates(ctx, g)
	for name, n := range states {
		if name != "LISTEN" && name != "CLOSED" {
			open += n
		}
	}
	return open, err
}

// inUse are the numbers of a kernel that count items: zones, slabs, malloc types and
// gauges, but no bytes and pages.
func inUse(s kernel.State) map[string]int64 {
	all := map[string]int64{}
	for kind, t := range map[string]kernel.Table{"zone": s.Zones, "malloc": s.Malloc, "connections": s.TCPStates, "gauge": s.Gauges} {
		for name, n := range t.Counters {
			if kind == "gauge" && (strings.HasPrefix(name, "vm.") || strings.HasSuffix(name, ".mem") || strings.HasSuffix(name, ".memory")) {
				continue
			}
			all[kind+" "+name] = n
		}
	}
	return all
}

// server is the far end of the rounds.
type server struct {
	at       netip.AddrPort
	listener net.Listener
	content  Content
	wait     sync.WaitGroup

	mu    sync.Mutex
	end   string // who closes first
	conns map[net.Conn]bool
}

func (c *churn) serve(b *Bed) (*server, error) {
	port := b.nextPort()
	l, err := b.Stack.Listen(b.Family.Network(), port)
	if err != nil {
		return nil, err
	}
	s := &server{at: netip.AddrPortFrom(b.Family.Of(b.Stack.Address()), port), listener: l, content: c.content, conns: map[net.Conn]bool{}}
	s.wait.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			s.mu.Lock()
			end := s.end
			s.conns[conn] = true
			s.mu.Unlock()
			s.wait.Go(func() { s.round(conn, end) })
		}
	})
	return s, nil
}

func (s *server) setEnd(end string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.end = end
}

// round is one connection's far end. What goes wrong here the guest's end sees.
func (s *server) round(conn net.Conn, end string) {
	defer func() {
		conn.Close()
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.conns, conn)
	}()
	up := io.Reader(conn)
	if end == "first" {
		up = io.LimitReader(conn, s.content.Size)
	}
	if s.content.Check(up) != nil {
		return
	}
	if _, err := conn.Write(s.content.Bytes()); err != nil {
		return
	}
	conn.(interface{ CloseWrite() error }).CloseWrite()
	io.Copy(io.Discard, conn) // until the guest's end, too, is closed
}

// close ends what is open.
func (s *server) close() error {
	err := s.listener.Close()
	s.mu.Lock()
	for conn := range s.conns {
		conn.Close()
	}
	s.mu.Unlock()
	s.wait.Wait()
	return err
}
