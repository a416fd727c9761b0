//go:build linux || freebsd

package guest

import (
	"context"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// rounds opens and ends connections in a loop.
func rounds(ctx context.Context, a RoundsArgs) (Rounds, error) {
	if err := checkNetwork(a.Network); err != nil {
		return Rounds{}, err
	}
	d := net.Dialer{KeepAlive: -1, Control: control(a.Options), Timeout: seconds(a.StallS)}
	return a.repeat(ctx, func(ctx context.Context) (*net.TCPConn, error) {
		c, err := d.DialContext(ctx, a.Network, a.Addr)
		if err != nil {
			return nil, err
		}
		return c.(*net.TCPConn), nil
	})
}

// serve takes connections of a listening socket in a loop, and ends them.
func (t *table) serve(ctx context.Context, a ServeArgs) (Rounds, error) {
	l, err := t.listener(a.ID)
	if err != nil {
		return Rounds{}, err
	}
	unhook := context.AfterFunc(ctx, func() { l.SetDeadline(time.Unix(1, 0)) })
	defer unhook()
	return a.Rounds.repeat(ctx, func(ctx context.Context) (*net.TCPConn, error) {
		l.SetDeadline(time.Now().Add(seconds(a.Rounds.StallS)))
		if ctx.Err() != nil { // before the deadline was another one again
			return nil, ctx.Err()
		}
		c, err := l.AcceptTCP()
		if err == nil {
			err = c.SetKeepAlive(false) // Go turns it on
		}
		return c, err
	})
}

// repeat makes the rounds with connections that open gives.
func (a RoundsArgs) repeat(ctx context.Context, open func(context.Context) (*net.TCPConn, error)) (r Rounds, err error) {
	a.Parallel = max(a.Parallel, 1)
	if a.Count < 1 || a.Count > MaxRounds || a.Parallel > MaxSockets || (a.End != "close" && a.End != "first" && a.End != "abort") {
		return r, fmt.Errorf("%d rounds in %d workers that end by %q: want 1 to %d, 1 to %d, and close, first or abort", a.Count, a.Parallel, a.End, MaxRounds, MaxSockets)
	}
	p, err := newPace(0, 0, a.StallS)
	if err != nil {
		return r, err
	}
	began := time.Now()
	var taken atomic.Int64
	var mu sync.Mutex
	var workers sync.WaitGroup
	r.Errnos = map[string]int{}
	for range a.Parallel {
		workers.Go(func() {
			for ctx.Err() == nil && taken.Add(1) <= int64(a.Count) {
				o := round(ctx, a, p, open)
				mu.Lock()
				r.count(o, &err)
				mu.Unlock()
			}
		})
	}
	workers.Wait()
	r.Duration = time.Since(began).Seconds()
	if ctx.Err() != nil {
		return r, ctx.Err()
	}
	return r, err
}

// outcome of one round.
type outcome struct {
	errno   string
	stalled bool
	err     error
}

func (r *Rounds) count(o outcome, err *error) {
	switch {
	case o.err != nil:
		*err = o.err
	case o.stalled:
		r.Stalled++
	case o.errno != "":
		r.Errnos[o.errno]++
	default:
		r.Done++
	}
}

func round(ctx context.Context, a RoundsArgs, p pace, open func(context.Context) (*net.TCPConn, error)) outcome {
	c, err := open(ctx)
	if err != nil {
		return outcomeOf(Moved{}, err)
	}
	defer c.Close()
	unhook := context.AfterFunc(ctx, func() { c.SetDeadline(time.Unix(1, 0)) })
	defer unhook()
	if m, err := write(ctx, c, p, 0, 0, a.Up); err != nil || m.Bytes < a.Up {
		return outcomeOf(m, err)
	}
	if a.End == "close" {
		if err := c.CloseWrite(); err != nil {
			return outcomeOf(Moved{}, err)
		}
	}
	if a.End == "abort" && a.Down == 0 {
		return outcomeOf(Moved{}, c.SetLinger(0))
	}
	// Size 0 reads until the other end's half-close.
	size := int64(0)
	if a.End == "abort" {
		size = a.Down
	}
	m, err := read(ctx, c, p, 0, 0, size)
	if err == nil && m.Errno == "" && !m.Stalled && (m.Bytes != a.Down || m.Wrong) {
		err = fmt.Errorf("%d bytes came, wrong: %v; want %d", m.Bytes, m.Wrong, a.Down)
	}
	if err == nil && a.End == "abort" {
		err = c.SetLinger(0)
	}
	return outcomeOf(m, err)
}

func outcomeOf(m Moved, err error) outcome {
	o := outcome{errno: m.Errno, stalled: m.Stalled}
	if err != nil {
		o.errno, o.stalled, o.err = said(err)
	}
	return o
}
