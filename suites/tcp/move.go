package tcp

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/headwatch/headwatch/suites"
	"github.com/headwatch/headwatch/suites/tcp/guest"
	"github.com/headwatch/headwatch/suites/wire"
)

// Send has the guest send so many further bytes of Up, in one write up to 64 KiB, and
// half-close behind them when shut. It returns when its kernel has taken them.
func (c *Conn) Send(ctx context.Context, bytes int64, shut bool) error {
	c.bed.mu.Lock()
	from := c.Up.Size
	c.Up.Size += bytes
	c.bed.mu.Unlock()
	var m guest.Moved
	args := guest.SendArgs{ID: c.ID, Seed: c.Up.Seed, From: from, Bytes: bytes, StallS: c.bed.patience().Seconds(), Shut: shut, File: c.File}
	if err := c.bed.T.Guest.Call(ctx, guest.OpSend, args, &m); err != nil {
		return within("send", err)
	}
	return moved("send", m, bytes)
}

// Receive has the guest read so many bytes of Down from byte from on, or until the
// peer's half-close for 0, and compare them.
func (c *Conn) Receive(ctx context.Context, from, bytes int64) error {
	var m guest.Moved
	args := guest.ReceiveArgs{ID: c.ID, Seed: c.Down.Seed, From: from, Bytes: bytes, StallS: c.bed.patience().Seconds()}
	if err := c.bed.T.Guest.Call(ctx, guest.OpReceive, args, &m); err != nil {
		return within("receive", err)
	}
	if bytes == 0 {
		bytes = c.Down.Size - from
	}
	return moved("receive", m, bytes)
}

// moved judges what came of moving so many bytes.
func moved(what string, m guest.Moved, want int64) error {
	switch {
	case m.Wrong:
		return suites.Failf("%s: byte %d of the stream is not what was sent", what, m.At)
	case m.Errno != "":
		return suites.Failf("%s: %s after %d of %d bytes", what, m.Errno, m.Bytes, want)
	case m.Stalled:
		return stallf("%s: nothing moves any more after %d of %d bytes, %.0f s after it began", what, m.Bytes, want, m.Duration)
	case m.Bytes != want:
		return suites.Failf("%s: %d bytes, want %d", what, m.Bytes, want)
	}
	return nil
}

// Exchange moves so many bytes in each direction of a connection to the stack, both at
// once, half-closes it from both ends, and compares what came. It leaves the guest's
// socket open.
func (c *Conn) Exchange(ctx context.Context, up, down int64) error {
	c.Down.Size = down
	whole := c.Up
	whole.Size += up
	return all(ctx,
		func(ctx context.Context) error { return c.Send(ctx, up, true) },
		func(ctx context.Context) error { return c.Receive(ctx, 0, 0) },
		func(ctx context.Context) error { return c.peerSends(ctx) },
		func(ctx context.Context) error {
			defer context.AfterFunc(ctx, func() { c.Stack.SetReadDeadline(time.Unix(1, 0)) })()
			err := whole.Check(c.Stack)
			if isPeers(err) {
				return peers(ctx, "the peer receives", err)
			}
			return err
		})
}

// peerSends sends all of Down from the stack, and half-closes.
func (c *Conn) peerSends(ctx context.Context) error {
	defer context.AfterFunc(ctx, func() { c.Stack.SetWriteDeadline(time.Unix(1, 0)) })()
	n, err := io.Copy(c.Stack, io.NewSectionReader(c.Down, 0, c.Down.Size))
	if err != nil {
		return peers(ctx, fmt.Sprintf("after %d of %d bytes to the guest", n, c.Down.Size), err)
	}
	if err := c.Stack.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
		return peers(ctx, "the peer half-closes", err)
	}
	return nil
}

// Close closes both ends: the guest's, then the peer's.
func (c *Conn) Close(ctx context.Context) error {
	var closed guest.Closed
	if err := c.bed.T.Guest.Call(ctx, guest.OpClose, guest.CloseArgs{ID: c.ID}, &closed); err != nil {
		return within("close", err)
	}
	// FreeBSD's close(2) can say so of a connection that both ends have ended in order:
	// tcp_close() drops its pcb before it disconnects the socket.
	ended := closed.Errno == "ECONNRESET" && c.bed.T.Guest.OS() == "freebsd"
	if closed.Errno != "" && !ended {
		return suites.Failf("close: %s", closed.Errno)
	}
	if c.Stack != nil {
		c.Stack.Close()
	}
	return nil
}

// MSS is the size of a full segment of the bed's family on its wire without time
// stamps, in bytes.
func (b *Bed) MSS() int {
	if b.Family == V6 {
		return 1440
	}
	return 1460
}

// Arrived waits until the script has all that the guest was told to send so far, and
// compares it.
func (c *Conn) Arrived(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, stall, errStalled)
	defer cancel()
	c.bed.mu.Lock()
	up := c.Up
	c.bed.mu.Unlock()
	state := c.Script.State()
	for last := state.IRS + 1 + wire.Seq(up.Size); state.RcvNext.Less(last) && !state.RST; {
		_, err := c.Script.Expect(ctx, func(p *wire.Packet) bool {
			return p.TCP.Flags.Has(wire.RST) || !p.TCP.End().Less(last) || p.TCP.Seq.AtMost(state.RcvNext)
		})
		if state = c.Script.State(); err == nil {
			continue
		}
		if context.Cause(ctx) == errStalled {
			return stallf("%d of %d bytes came in %v", state.RcvNext.From(state.IRS+1), up.Size, stall)
		}
		return peers(ctx, "the peer receives", err)
	}
	switch {
	case state.RST:
		return suites.Failf("the guest reset the connection after %d of %d bytes", len(state.Received), up.Size)
	case state.Changed:
		return suites.Failf("the guest sent bytes again as others")
	}
	return up.Check(bytes.NewReader(state.Received))
}

var errStalled = errors.New("not all came")
