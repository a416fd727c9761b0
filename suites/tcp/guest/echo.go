//go:build linux || freebsd

package guest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"
)

// echo gives back what comes, byte by byte, as it comes.
func (t *table) echo(ctx context.Context, a EchoArgs) (m Moved, err error) {
	c, err := t.conn(a.ID)
	if err != nil {
		return m, err
	}
	p, err := newPace(0, 0, a.StallS)
	if err != nil {
		return m, err
	}
	if a.Bytes < 1 || a.Bytes > MaxRounds {
		return m, fmt.Errorf("echo of %d bytes: want 1 to %d", a.Bytes, MaxRounds)
	}
	unhook := context.AfterFunc(ctx, func() { c.SetDeadline(time.Unix(1, 0)) })
	defer unhook()
	began := time.Now()
	for m.Bytes < a.Bytes && err == nil {
		if err = echoOne(c, p); err == nil {
			m.Bytes++
		}
	}
	m.Duration = time.Since(began).Seconds()
	if ctx.Err() != nil {
		return m, ctx.Err()
	}
	m.Errno, m.Stalled, err = said(err)
	return m, err
}

func echoOne(c *net.TCPConn, p pace) error {
	var b [1]byte
	c.SetDeadline(time.Now().Add(p.stall))
	if _, err := c.Read(b[:]); err != nil {
		return err
	}
	n, err := c.Write(b[:])
	if err == nil && n == 0 {
		err = errors.New("nothing was written")
	}
	return err
}
