package guest

import (
	"errors"
	"fmt"
	"io"
	"time"
)

// read is the reader's goroutine: the handshake, then every message until the
// stream is over.
func (c *Client) read(session string) {
	r := newFrameReader(c.conn)
	err := c.handshake(r, session)
	for err == nil {
		var f frame
		if f, err = r.next(); err == nil {
			err = c.take(f)
		}
	}
	c.finish(err)
}

// finish records why the stream is over. Closing conn ends the writer and tells
// an agent that broke the protocol.
func (c *Client) finish(err error) {
	c.mu.Lock()
	switch {
	case c.Ended():
		c.reason = c.refusal
	case c.stopped():
		c.reason = ErrClosed
	case errors.Is(err, io.EOF):
		c.reason = ErrNoEndMarker
	default:
		c.reason = fmt.Errorf("%w: %w", ErrNoEndMarker, err)
	}
	c.mu.Unlock()
	close(c.done)
	c.stopOnce.Do(func() {
		close(c.stop)
		c.closeErr = c.conn.Close()
	})
}

func (c *Client) stopped() bool {
	select {
	case <-c.stop:
		return true
	default:
		return false
	}
}

func (c *Client) touch() {
	c.mu.Lock()
	c.heard = time.Now()
	c.mu.Unlock()
}

// take handles one message after the handshake. Its error ends the stream.
func (c *Client) take(f frame) error {
	c.touch()
	switch f.typ {
	case typeResponse:
		return c.takeResponse(f)
	case typePart, typeLast:
		whole, done, err := c.parts.add(f)
		if err != nil || !done {
			return err
		}
		return c.takeResponse(frame{typeResponse, whole})
	case typeCredit:
		var said credit
		if err := decodeMessage(f, &said); err != nil {
			return err
		}
		return c.window.give(int(said.Bytes))
	case typeHeartbeat:
		return c.unasked(f, &heartbeat{})
	case typeHello:
		c.count(func(i *Ignored) { i.Stray++ })
		return c.unasked(f, &Hello{})
	case typeBye:
		return c.takeBye(f)
	}
	return fmt.Errorf("%w: type %d is not for a guest to send", ErrMessage, f.typ)
}

// unasked decodes a message that was not asked for, within its budget.
func (c *Client) unasked(f frame, message any) error {
	if !c.budget.spend(len(f.payload), time.Now()) {
		return fmt.Errorf("%w: type %d", ErrFlood, f.typ)
	}
	return decodeMessage(f, message)
}

func (c *Client) count(add func(*Ignored)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	add(&c.ignored)
}

func (c *Client) takeResponse(f frame) error {
	var resp response
	if err := decodeMessage(f, &resp); err != nil {
		return err
	}
	if (resp.Result == nil) == (resp.Error == nil) {
		return fmt.Errorf("%w: answer %d has not one of result and error", ErrMessage, resp.ID)
	}
	c.mu.Lock()
	answer, ok := c.pending[resp.ID]
	delete(c.pending, resp.ID) // the first answer counts
	switch {
	case c.Ended() && resp.ID == c.asked && resp.Error != nil && c.refusal == nil:
		c.refusal = resp.Error.err(OpPowerOff)
	case ok:
	case resp.ID == 0 || resp.ID > c.lastID:
		c.ignored.Unknown++
	default:
		c.ignored.Late++
	}
	c.mu.Unlock()
	if ok {
		answer <- resp
		return nil
	}
	return c.unasked(f, &resp)
}

// takeBye accepts the end marker once it was asked for, and returns it.
func (c *Client) takeBye(f frame) error {
	c.mu.Lock()
	asked := c.asked != 0
	c.mu.Unlock()
	if !asked {
		return ErrUnaskedEnd
	}
	if c.Ended() {
		c.count(func(i *Ignored) { i.Stray++ })
		return c.unasked(f, new(any))
	}
	close(c.ended)
	if ack, err := encodeMessage(typeBye, struct{}{}); err == nil {
		select {
		case c.urgent <- ack:
		default:
		}
	}
	return nil
}
