package guest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"
)

const (
	heartbeatEvery = time.Second
	// opGrace is how long the end of a session waits for operations that were
	// told to stop. A power-off does not wait for a stuck one forever.
	opGrace = 5 * time.Second
	// damageWait is how long a damaged stream may wait for a new host: ten of its
	// hello requests.
	damageWait = 10 * helloEvery
)

// Operation is one thing that the agent can do. An error that wraps a
// syscall.Errno is the kernel's refusal, any other the agent's own fault.
type Operation = func(ctx context.Context, args json.RawMessage) (any, error)

// deadliner is what conn has when reads and writes on it can be interrupted.
type deadliner interface{ SetDeadline(time.Time) error }

// Serve is the guest's end: it answers the host's requests until
//
//   - the host asks for power-off: an Ending, which sends the end marker, and nil;
//   - the host goes away: ErrHostGone; the caller may serve the next one;
//   - ctx is done: its cause. On a conn without SetDeadline this is noticed with
//     the next frame;
//   - the stream breaks the protocol, or a write fails: that error.
//
// Over a UART nothing tells that a host went away, and its last frame may be
// cut off. So a damaged stream gets a moment in which a new host may say hello;
// the damage of a host that stays is an error all the same.
//
// h.Protocol and h.Session are filled in, and h.Window if it is 0. Operations are told to stop by their
// context; Serve waits for them before it returns, but not for ever.
func Serve(ctx context.Context, conn io.ReadWriter, h Hello, ops map[string]Operation) (*Ending, error) {
	setDeadline(conn, time.Time{})
	ctx, cancel := context.WithCancelCause(ctx)
	h.Protocol = ProtocolVersion
	if h.Window == 0 {
		h.Window = wideWindow
	}
	s := &server{conn: conn, hello: h, ops: ops, start: time.Now(), fail: cancel}
	interrupted := make(chan struct{})
	spare := context.AfterFunc(ctx, func() {
		setDeadline(conn, time.Unix(1, 0))
		close(interrupted)
	})

	r := newFrameReader(conn)
	r.yields = true
	asked, err := s.receive(ctx, r)
	if cause := context.Cause(ctx); cause != nil && err != nil {
		err = cause // the read failed because it was interrupted
	}
	if spare() { // from here on writes get the time that the end needs
		setDeadline(conn, time.Now().Add(opGrace))
	} else {
		<-interrupted
	}
	s.leave()
	if s.damage != nil {
		s.damage.limit.Stop()
	}
	cancel(nil)
	s.join()
	setDeadline(conn, time.Time{})
	if err != nil {
		return nil, err
	}
	return &Ending{conn: conn, reader: r, request: asked}, nil
}

func setDeadline(conn io.ReadWriter, t time.Time) {
	if d, ok := conn.(deadliner); ok {
		// A file that cannot be polled refuses; it is then served without.
		_ = d.SetDeadline(t)
	}
}

type server struct {
	conn  io.ReadWriter
	hello Hello
	ops   map[string]Operation
	start time.Time
	fail  context.CancelCauseFunc
	tasks sync.WaitGroup // operations and the heartbeat

	mu      sync.Mutex // held while a frame is written
	session *session   // nil before the handshake and after the end
	damage  *damage    // nil while the stream is well; the reader's alone
}

// damage is a stream that is no longer cut into frames.
type damage struct {
	err     error
	session string // whose stream it was
	limit   *time.Timer
}

// session is one host's turn. What belongs to an older one is not sent.
type session struct {
	id   string
	ctx  context.Context
	stop context.CancelFunc

	read  receipt // this and parts are the reader's alone
	parts assembly
	long  sync.Mutex // held while a response of more than one frame is written

	mu      sync.Mutex
	running map[uint64]context.CancelFunc
}

// receive handles what the host sends. It returns the id of a power-off
// request, or why there is nothing more to receive.
func (s *server) receive(ctx context.Context, r *frameReader) (uint64, error) {
	for {
		f, err := r.next()
		switch {
		case r.synced && isDamage(err):
			s.suffer(r, err)
			continue
		case errors.Is(err, io.EOF), errors.Is(err, ErrFrameTruncated):
			return 0, ErrHostGone
		case err != nil:
			return 0, err
		case ctx.Err() != nil:
			return 0, context.Cause(ctx)
		}
		sess := s.current()
		switch {
		case f.typ == typeHelloRequest:
			if err := s.greet(ctx, f); err != nil {
				return 0, err
			}
			r.synced = true
		case sess == nil: // of a session before this agent's time
		default:
			asked, err := s.take(sess, f)
			if asked != 0 || err != nil {
				return asked, err
			}
		}
	}
}

// take handles one frame of a session. It returns the id of a power-off request.
func (s *server) take(sess *session, f frame) (uint64, error) {
	if counts(f.typ) {
		if n := sess.read.read(headerSize + len(f.payload)); n > 0 {
			if err := s.send(sess, typeCredit, credit{uint32(n)}); err != nil {
				return 0, err
			}
		}
	}
	switch f.typ {
	case typeRequest:
		return s.request(sess, f)
	case typePart, typeLast:
		whole, done, err := sess.parts.add(f)
		if err != nil || !done {
			return 0, err
		}
		return s.request(sess, frame{typeRequest, whole})
	case typeDrop:
		sess.parts.got = nil
		return 0, nil
	case typeCancel:
		return 0, sess.cancel(f)
	case typeBye: // a late acknowledgement of an older host
		return 0, nil
	}
	return 0, fmt.Errorf("%w: type %d is not for a host to send", ErrMessage, f.typ)
}

// isDamage tells bytes that are no frame from frames that are not allowed.
func isDamage(err error) bool {
	for _, d := range []error{ErrFrameMagic, ErrFrameSize, ErrFrameChecksum, errFrameCut} {
		if errors.Is(err, d) {
			return true
		}
	}
	return false
}

// suffer ends the session and lets the reader search for a new host's hello.
func (s *server) suffer(r *frameReader, err error) {
	s.damage = &damage{err, s.current().id, time.AfterFunc(damageWait, func() { s.fail(err) })}
	s.leave()
	r.synced, r.skipped = false, 0
}

// heal ends the wait for a new host, unless the one that says hello is the old
// one.
func (s *server) heal(session string) error {
	d := s.damage
	if d == nil {
		return nil
	}
	d.limit.Stop()
	if d.session == session {
		return d.err
	}
	s.damage = nil
	return nil
}

func (s *server) current() *session {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.session
}

// greet answers a hello request. A new id starts a new session; the id of the
// session under way is a repetition that crossed the answer.
func (s *server) greet(ctx context.Context, f frame) error {
	var req helloRequest
	if err := decodeMessage(f, &req); err != nil {
		return err
	}
	if err := s.heal(req.Session); err != nil {
		return err
	}
	sess := s.current()
	if sess == nil || sess.id != req.Session {
		s.leave()
		sess = &session{id: req.Session, running: make(map[uint64]context.CancelFunc)}
		sess.read.window, sess.parts.size = s.hello.Window, pieceSize(s.hello.Window)
		sess.ctx, sess.stop = context.WithCancel(ctx)
		s.mu.Lock()
		s.session = sess
		s.mu.Unlock()
		s.tasks.Go(func() { s.beat(sess) })
	}
	h := s.hello
	h.Session = req.Session
	return s.send(sess, typeHello, h)
}

// leave ends the session under way: its operations are told to stop and their
// answers are dropped.
func (s *server) leave() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.session != nil {
		s.session.stop()
		s.session = nil
	}
}

// join waits for operations and heartbeats, at most opGrace.
func (s *server) join() {
	idle := make(chan struct{})
	go func() { s.tasks.Wait(); close(idle) }()
	grace := time.NewTimer(opGrace)
	defer grace.Stop()
	select {
	case <-idle:
	case <-grace.C:
	}
}
