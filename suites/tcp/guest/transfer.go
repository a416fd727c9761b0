//go:build linux || freebsd

package guest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"time"
)

// chunk is how much is moved at once where nobody says.
const chunk = 64 << 10

// pace is what sending and receiving have in common.
type pace struct {
	chunk        int
	pause, stall time.Duration
}

func newPace(size int, pauseS, stallS float64) (pace, error) {
	if size == 0 {
		size = chunk
	}
	if size < 1 || size > 1<<20 {
		return pace{}, fmt.Errorf("chunk of %d bytes: want 1 to 1 MiB", size)
	}
	p := pace{size, seconds(pauseS), seconds(stallS)}
	if p.stall <= 0 {
		return pace{}, fmt.Errorf("stall_s %v: want a time", stallS)
	}
	return p, nil
}

// rest waits for the pause; it returns false when ctx ended.
func (p pace) rest(ctx context.Context) bool {
	if p.pause <= 0 {
		return ctx.Err() == nil
	}
	timer := time.NewTimer(p.pause)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

func (t *table) send(ctx context.Context, a SendArgs) (m Moved, err error) {
	c, err := t.conn(a.ID)
	if err != nil {
		return m, err
	}
	p, err := newPace(a.Chunk, a.PauseS, a.StallS)
	if err != nil || a.Bytes < 0 || a.Bytes > MaxBytes || a.From < 0 {
		return m, errors.Join(err, checkRange(a.From, a.Bytes))
	}
	unhook := context.AfterFunc(ctx, func() { c.SetWriteDeadline(time.Unix(1, 0)) })
	defer unhook()
	began := time.Now()
	if a.File {
		m, err = sendFile(c, p, a)
	} else {
		m, err = write(ctx, c, p, a.Seed, a.From, a.Bytes)
	}
	if err == nil && m.Bytes == a.Bytes && a.Shut {
		m.Errno, _, err = said(c.CloseWrite())
	}
	m.Duration = time.Since(began).Seconds()
	return m, errors.Join(err, ctx.Err())
}

// write writes part of a content.
func write(ctx context.Context, c *net.TCPConn, p pace, seed uint64, from, size int64) (m Moved, err error) {
	buf := make([]byte, p.chunk)
	for m.Bytes < size {
		if m.Bytes > 0 && !p.rest(ctx) {
			return m, ctx.Err()
		}
		b := buf[:min(int64(p.chunk), size-m.Bytes)]
		Content(seed, from+m.Bytes, b)
		for len(b) > 0 {
			c.SetWriteDeadline(time.Now().Add(p.stall))
			n, err := c.Write(b)
			m.Bytes += int64(n)
			if b = b[n:]; err == nil {
				continue
			}
			errno, timedOut, err := said(err)
			if timedOut && n > 0 && ctx.Err() == nil {
				continue // the kernel took some of it meanwhile
			}
			m.Errno, m.Stalled = errno, timedOut
			return m, err
		}
	}
	return m, nil
}

func (t *table) receive(ctx context.Context, a ReceiveArgs) (m Moved, err error) {
	c, err := t.conn(a.ID)
	if err != nil {
		return m, err
	}
	p, err := newPace(a.Chunk, a.PauseS, a.StallS)
	if err != nil || a.Bytes < 0 || a.Bytes > MaxBytes || a.From < 0 {
		return m, errors.Join(err, checkRange(a.From, a.Bytes))
	}
	unhook := context.AfterFunc(ctx, func() { c.SetReadDeadline(time.Unix(1, 0)) })
	defer unhook()
	began := time.Now()
	m, err = read(ctx, c, p, a.Seed, a.From, a.Bytes)
	m.Duration = time.Since(began).Seconds()
	return m, errors.Join(err, ctx.Err())
}

// read reads part of a content, or until its end for size 0, and compares it.
func read(ctx context.Context, c *net.TCPConn, p pace, seed uint64, from, size int64) (m Moved, err error) {
	buf, want := make([]byte, p.chunk), make([]byte, p.chunk)
	for size == 0 || m.Bytes < size {
		if m.Bytes > 0 && !p.rest(ctx) {
			return m, ctx.Err()
		}
		b := buf
		if size > 0 {
			b = buf[:min(int64(p.chunk), size-m.Bytes)]
		}
		c.SetReadDeadline(time.Now().Add(p.stall))
		n, err := c.Read(b)
		m.compare(b[:n], want, seed, from)
		m.Bytes += int64(n)
		if err == nil {
			continue
		}
		if errors.Is(err, io.EOF) {
			m.Ended = true
			return m, nil
		}
		m.Errno, m.Stalled, err = said(err)
		return m, err
	}
	return m, nil
}

// compare notes the first byte that is not the content's.
func (m *Moved) compare(got, want []byte, seed uint64, from int64) {
	if m.Wrong {
		return
	}
	want = want[:len(got)]
	at := from + m.Bytes
	if Content(seed, at, want); bytes.Equal(got, want) {
		return
	}
	for i := range got {
		if got[i] != want[i] {
			m.Wrong, m.At = true, at+int64(i)
			return
		}
	}
}

func checkRange(from, size int64) error {
	if size < 0 || size > MaxBytes || from < 0 {
		return fmt.Errorf("bytes %d from %d: want 0 to %d", size, from, int64(MaxBytes))
	}
	return nil
}
