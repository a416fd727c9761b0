package guest

import (
	"context"
	"fmt"
	"io"
	"time"
)

// Ending is a power-off that the host asked for. The agent flushes what must
// not be lost, calls Bye and powers off.
type Ending struct {
	conn    io.ReadWriter
	reader  *frameReader
	request uint64
}

// Bye sends the end marker and waits until the host has returned it: a guest
// that powers off earlier may take the marker with it, for a driver's write can
// return before the bytes have left. Without ctx's deadline it waits for as
// long as conn is open; a conn without SetDeadline cannot be waited for at all.
// An error is no reason not to power off.
func (e *Ending) Bye(ctx context.Context) error {
	d, bounded := e.conn.(deadliner)
	if bounded {
		if err := d.SetDeadline(time.Time{}); err != nil {
			bounded = false
		}
	}
	if err := e.send(typeBye, struct{}{}); err != nil || !bounded {
		return err
	}
	defer context.AfterFunc(ctx, func() { setDeadline(e.conn, time.Unix(1, 0)) })()
	for {
		f, err := e.reader.next()
		if err != nil {
			return fmt.Errorf("end marker is not acknowledged: %w", err)
		}
		if f.typ == typeBye {
			return nil
		}
	}
}

// Refuse tells the host that the power-off did not happen: err, which should
// wrap the syscall.Errno. It is the only thing that may follow the end marker.
func (e *Ending) Refuse(ctx context.Context, err error) error {
	setDeadline(e.conn, time.Now().Add(opGrace))
	return e.send(typeResponse, response{ID: e.request, Error: describe(ctx, err)})
}

func (e *Ending) send(typ frameType, message any) error {
	b, err := encodeMessage(typ, message)
	if err != nil {
		return err
	}
	if _, err := e.conn.Write(b); err != nil {
		return fmt.Errorf("write to the host: %w", err)
	}
	return nil
}
