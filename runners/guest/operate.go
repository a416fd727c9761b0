package guest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime/debug"
	"time"
)

// request starts an operation, or returns the id of a request for power-off.
func (s *server) request(sess *session, f frame) (uint64, error) {
	var req request
	if err := decodeMessage(f, &req); err != nil {
		return 0, err
	}
	if req.ID == 0 || sess.has(req.ID) {
		return 0, fmt.Errorf("%w: request id %d is zero or in use", ErrMessage, req.ID)
	}
	if req.Op == OpPowerOff {
		return req.ID, nil
	}
	op, ok := s.ops[req.Op]
	if !ok {
		return 0, s.refuse(sess, req.ID, fmt.Sprintf("no operation %q in this agent", req.Op))
	}
	ctx, cancel := limit(sess.ctx, req.Timeout)
	if !sess.begin(req.ID, cancel) {
		cancel()
		return 0, s.refuse(sess, req.ID, fmt.Sprintf("%d operations are under way already", maxRunning))
	}
	s.tasks.Go(func() { s.answer(ctx, sess, req, op) })
	return 0, nil
}

// limit is the context of an operation; 0 seconds is no timeout.
func limit(ctx context.Context, seconds float64) (context.Context, context.CancelFunc) {
	if seconds <= 0 {
		return context.WithCancel(ctx)
	}
	const week = 7 * 24 * 3600 // a duration holds more, but not every float
	return context.WithTimeout(ctx, time.Duration(min(seconds, week)*float64(time.Second)))
}

func (s *server) refuse(sess *session, id uint64, text string) error {
	return s.respond(sess, response{ID: id, Error: &wireError{Kind: "agent", Text: text}})
}

// answer performs an operation and sends what came of it.
func (s *server) answer(ctx context.Context, sess *session, req request, op Operation) {
	resp := response{ID: req.ID}
	result, err := perform(ctx, op, req.Args)
	if err == nil {
		resp.Result, err = json.Marshal(result)
	}
	if err != nil {
		resp = response{ID: req.ID, Error: describe(ctx, err)}
	}
	sess.end(req.ID) // before the host learns of it and asks for more
	err = s.respond(sess, resp)
	if errors.Is(err, ErrFrameSize) {
		// The stream is well; if this does not get through either, fail has been called.
		_ = s.refuse(sess, req.ID, "answer: "+err.Error())
	}
}

// perform calls an operation. A panic in it is the agent's fault, and no reason
// to take the guest down.
func perform(ctx context.Context, op Operation, args json.RawMessage) (result any, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	return op(ctx, args)
}

func (sess *session) has(id uint64) bool {
	sess.mu.Lock()
	defer sess.mu.Unlock()
	_, ok := sess.running[id]
	return ok
}

func (sess *session) begin(id uint64, cancel context.CancelFunc) bool {
	sess.mu.Lock()
	defer sess.mu.Unlock()
	if len(sess.running) >= maxRunning {
		return false
	}
	sess.running[id] = cancel
	return true
}

func (sess *session) end(id uint64) {
	sess.mu.Lock()
	defer sess.mu.Unlock()
	sess.running[id]()
	delete(sess.running, id)
}

// cancel tells an operation to stop. One that is over is no error: its answer
// crossed the cancel.
func (sess *session) cancel(f frame) error {
	var req cancelRequest
	if err := decodeMessage(f, &req); err != nil {
		return err
	}
	sess.mu.Lock()
	defer sess.mu.Unlock()
	if cancel, ok := sess.running[req.ID]; ok {
		cancel()
	}
	return nil
}
