package guest

import "context"

// outgoing is a request. Between the frames of one that needs more than one
// others may go, but a second such one waits for its end.
type outgoing struct {
	ctx context.Context // the call's: when it is done, the rest is not sent
	pieces
}

// next returns the next frame, and nil when nothing comes after it.
func (o *outgoing) next() ([]byte, *outgoing, error) {
	if o.ctx.Err() != nil {
		b, err := encodeMessage(typeDrop, struct{}{})
		return b, nil, err
	}
	b, last, err := o.pieces.next()
	if last || err != nil {
		o = nil
	}
	return b, o, err
}

// write is the writer's goroutine. A write that fails is left to the reader to
// explain: what the guest said before it went away is still to be read.
func (c *Client) write() {
	now := make(chan struct{})
	close(now)
	var long *outgoing // nil: none is under way
	for {
		start, carryOn := c.long, (chan struct{})(nil)
		if long != nil {
			start, carryOn = nil, now
		}
		var frame []byte
		var err error
		select {
		case frame = <-c.urgent:
		case o := <-c.out:
			frame, err = encodeFrame(typeRequest, o.rest)
		case long = <-start:
			continue
		case <-carryOn:
			frame, long, err = long.next()
		case <-c.stop:
			return
		}
		if err != nil || !c.afford(frame) {
			continue
		}
		if _, err := c.conn.Write(frame); err != nil {
			<-c.stop
			return
		}
	}
}

// afford waits until the window has room for a frame. False means that it need
// not be sent any more. What is urgent waits here behind one frame at most.
func (c *Client) afford(frame []byte) bool {
	if !counts(frameType(frame[5])) {
		return true
	}
	for !c.window.take(len(frame)) {
		select {
		case <-c.window.freed:
		case <-c.ended: // nobody gives credit any more, and the end marker is to be returned
			return false
		case <-c.stop:
			return false
		}
	}
	return true
}
