package guest

import (
	"context"
	"fmt"
	"io"
	"time"
)

// helloEvery is how often an unanswered hello request is repeated: what is sent
// before the guest opened its end may be lost.
const helloEvery = 200 * time.Millisecond

// Connect performs the handshake on conn: it sends hello requests until the
// agent answers with session echoed, or ctx is done. It owns conn from then on
// and closes it when it fails. conn.Close must end a Read and a Write that are
// under way, as a net.Conn's does. session names this connection: the caller
// draws a new one each time.
func Connect(ctx context.Context, conn io.ReadWriteCloser, session string) (*Client, error) {
	hello, err := helloFrame(session)
	if err != nil {
		conn.Close()
		return nil, err
	}
	c := newClient(conn)
	c.tasks.Go(c.write)
	c.tasks.Go(func() { c.read(session) })

	repeat := time.NewTicker(helloEvery)
	defer repeat.Stop()
	for {
		if len(c.urgent) == 0 { // a guest that does not read yet gets no heap of them
			c.urgent <- hello
		}
		select {
		case <-c.met:
			return c, nil
		case <-c.done:
			select {
			case <-c.met: // and lost again; Err says why
				return c, nil
			default:
			}
			c.Close()
			return nil, fmt.Errorf("handshake with the agent: %w", c.cause())
		case <-ctx.Done():
			c.Close()
			return nil, fmt.Errorf("handshake with the agent: no answer: %w", context.Cause(ctx))
		case <-repeat.C:
		}
	}
}

func helloFrame(session string) ([]byte, error) {
	if session == "" || session != clean(session, maxName) {
		return nil, fmt.Errorf("session %q: want 1 to %d printable bytes", session, maxName)
	}
	return encodeMessage(typeHelloRequest, helloRequest{ProtocolVersion, session})
}

// handshake skips everything before the hello that answers session: garbage,
// our own hello requests echoed by a terminal, frames of sessions before.
func (c *Client) handshake(r *frameReader, session string) error {
	for strays := 0; ; strays++ {
		f, err := r.next()
		if err != nil {
			return err
		}
		if strays > budgetBurst {
			return fmt.Errorf("%w: %d frames and no hello", ErrFlood, strays)
		}
		if f.typ != typeHello {
			continue
		}
		var h Hello
		if err := decodeMessage(f, &h); err != nil {
			return err
		}
		if h.Session != session {
			continue
		}
		if err := h.check(); err != nil {
			return err
		}
		r.synced = true
		c.hello = h
		c.parts.size = pieceSize(h.Window)
		c.window.open(h.Window)
		c.touch()
		close(c.met)
		return nil
	}
}
