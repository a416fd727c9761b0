package guest

import (
	"encoding/json"
	"fmt"
	"time"
)

// send writes one message of a session, if it is still the current one.
func (s *server) send(sess *session, typ frameType, message any) error {
	b, err := encodeMessage(typ, message)
	if err != nil {
		return err
	}
	return s.write(sess, b)
}

// respond sends an answer, in pieces where it is long: between them heartbeats,
// credit and shorter answers get through, however slow the channel is.
func (s *server) respond(sess *session, resp response) error {
	payload, err := json.Marshal(resp)
	if err != nil {
		return err
	}
	p := pieces{payload, pieceSize(s.hello.Window)}
	switch {
	case len(payload) > MaxPayload:
		return fmt.Errorf("%w: %d bytes, at most %d", ErrFrameSize, len(payload), MaxPayload)
	case len(payload) <= p.size:
		b, err := encodeFrame(typeResponse, payload)
		if err != nil {
			return err
		}
		return s.write(sess, b)
	}
	sess.long.Lock()
	defer sess.long.Unlock()
	for last := false; !last && sess.ctx.Err() == nil; {
		var b []byte
		if b, last, err = p.next(); err == nil {
			err = s.write(sess, b)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// write writes a frame of a session, if it is still the current one.
func (s *server) write(sess *session, b []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.session != sess {
		return nil
	}
	if _, err := s.conn.Write(b); err != nil {
		err = fmt.Errorf("write to the host: %w", err)
		s.fail(err)
		return err
	}
	return nil
}

func (s *server) beat(sess *session) {
	tick := time.NewTicker(heartbeatEvery)
	defer tick.Stop()
	for seq := uint64(1); ; seq++ {
		select {
		case <-sess.ctx.Done():
			return
		case <-tick.C:
		}
		if s.send(sess, typeHeartbeat, heartbeat{seq, time.Since(s.start).Seconds()}) != nil {
			return
		}
	}
}
