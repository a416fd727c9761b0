package queue

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/headwatch/headwatch/orchestrator"
)

const (
	// askFor is how long one question for a job stays with the server. A server
	// that forgot it, because it was restarted, is asked again that much later.
	askFor   = 10 * time.Second
	maxPause = 2 * time.Second
)

// Next waits for a job and leases it. A server that is away and a Rebuild under
// way are waited out. When ctx is done or the queue closes it returns an error,
// and a job that arrives just then is given back.
func (q *Queue) Next(ctx context.Context) (orchestrator.Lease, error) {
	ctx, leave, err := q.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()

	// A subscription of its own for each call: whatever the server has sent when
	// the call ends reaches the handler, which gives it back.
	arrived, ended := make(chan *nats.Msg), make(chan struct{})
	inbox := q.nc.NewInbox()
	sub, err := q.nc.Subscribe(inbox, func(m *nats.Msg) {
		select {
		case arrived <- m:
		case <-ended:
			q.giveBack(m)
		}
	})
	if err != nil {
		return nil, q.nextError(ctx, err)
	}
	defer func() {
		close(ended)
		if err := sub.Drain(); err != nil {
			q.log.Debug("queue: end of a wait for a job", "err", err)
		}
	}()
	return q.await(ctx, inbox, arrived)
}

// await asks for a job until one arrives.
func (q *Queue) await(ctx context.Context, inbox string, arrived <-chan *nats.Msg) (orchestrator.Lease, error) {
	again := time.NewTimer(0)
	defer again.Stop()
	pause := maxPause / 64
	for {
		select {
		case <-ctx.Done():
			return nil, q.nextError(ctx, context.Cause(ctx))
		case <-again.C:
			if err := q.ask(inbox); err != nil {
				return nil, q.nextError(ctx, err)
			}
			again.Reset(askFor + maxPause)
		case m := <-arrived:
			switch status := m.Header.Get("Status"); {
			case status == "404", status == "408": // no job in all that time
				again.Reset(0)
				pause = maxPause / 64
			case m.Reply == "": // no consumer or no server, for now
				q.log.Debug("queue: waiting for a job", "status", status, "says", m.Header.Get("Description"))
				again.Reset(pause)
				pause = min(2*pause, maxPause)
			default:
				if l, ok := q.take(ctx, m); ok {
					return l, nil
				}
				again.Reset(0)
			}
		}
	}
}

func (q *Queue) nextError(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return fmt.Errorf("wait for a job: %w", err)
}

// ask requests one job. The answer comes to the inbox.
func (q *Queue) ask(inbox string) error {
	body := fmt.Sprintf(`{"batch":1,"expires":%d}`, askFor.Nanoseconds())
	return q.nc.PublishRequest("$JS.API.CONSUMER.MSG.NEXT."+stream+"."+consumer, inbox, []byte(body))
}

// take makes a lease of a message. What is not a job is taken off the queue, so
// that it stops nobody. When ctx is done meanwhile the job is given back.
func (q *Queue) take(ctx context.Context, m *nats.Msg) (*lease, bool) {
	j, err := decode(m.Subject, m.Data)
	if err != nil {
		q.log.Error("not a job, taken off the queue", "subject", m.Subject, "bytes", len(m.Data), "err", err)
		if err := m.Term(); err != nil {
			q.log.Warn("could not be taken off the queue", "subject", m.Subject, "err", err)
		}
		return nil, false
	}
	if ctx.Err() != nil {
		q.giveBack(m)
		return nil, false
	}
	l := &lease{q: q, job: j, msg: m, ended: make(chan struct{})}
	q.calls.Add(1) // Close cannot be waiting yet: the call of Next is not over
	go l.keepAlive()
	return l, true
}

func (q *Queue) giveBack(m *nats.Msg) {
	if m.Reply == "" {
		return
	}
	if err := m.Nak(); err != nil {
		q.log.Warn("job could not be given back, its lease will run out", "subject", m.Subject, "err", err)
	}
}

// lease is a job in a worker's hands.
type lease struct {
	q     *Queue
	job   orchestrator.Job
	msg   *nats.Msg
	once  sync.Once
	ended chan struct{}
}

func (l *lease) Job() orchestrator.Job { return l.job }

// keepAlive tells the server that the job is worked on, until the lease ends or
// the queue closes.
func (l *lease) keepAlive() {
	defer l.q.calls.Done()
	tick := time.NewTicker(max(l.q.lease/3, time.Millisecond))
	defer tick.Stop()
	for {
		select {
		case <-l.ended:
			return
		case <-l.q.ctx.Done():
			return
		case <-tick.C:
			if err := l.msg.InProgress(); err != nil {
				l.q.log.Warn("lease could not be renewed", "job", l.job.ID, "err", err)
			}
		}
	}
}

// Done takes the job off the queue, and returns when the server has said so.
func (l *lease) Done(ctx context.Context) error {
	return l.end(ctx, "take it off the queue", func(ctx context.Context) error {
		return l.msg.AckSync(nats.Context(ctx))
	})
}

// Return gives the job back, to be handed out again after delay.
func (l *lease) Return(ctx context.Context, delay time.Duration) error {
	return l.end(ctx, "return it", func(ctx context.Context) error {
		return l.msg.NakWithDelay(max(delay, 0), nats.Context(ctx))
	})
}

// Drop lets the lease go without a word to the server, which has given the job to
// somebody else.
func (l *lease) Drop() { l.once.Do(func() { close(l.ended) }) }

// end stops renewing the lease, whatever comes of tell: a lease that could not be
// ended runs out. It can be called again after an error.
func (l *lease) end(ctx context.Context, what string, tell func(context.Context) error) error {
	l.Drop()
	ctx, leave, err := l.q.enter(ctx)
	if err == nil {
		defer leave()
		ctx, cancel := context.WithTimeout(ctx, answerWait)
		defer cancel()
		err = tell(ctx)
	}
	switch {
	case err == nil:
		return nil
	case errors.Is(err, nats.ErrNoResponders):
		err = errors.New("the lease is gone: the queue was rebuilt")
	}
	return fmt.Errorf("job %s: %s: %w", l.job.ID, what, err)
}
