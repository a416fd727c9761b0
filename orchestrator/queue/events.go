package queue

import (
	"context"
	"encoding/json"
	"fmt"
	"unicode/utf8"

	"github.com/nats-io/nats.go"

	"github.com/headwatch/headwatch/orchestrator"
)

const (
	events = "headwatch.events"
	// backlog is how many events wait for a slow watcher. Further ones are dropped.
	backlog   = 256
	maxReason = 4 << 10 // bytes
)

// Announce tells every watcher of an event. Nobody waits for it to arrive.
func (q *Queue) Announce(ctx context.Context, e orchestrator.Event) error {
	_, leave, err := q.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	e.Reason = cut(e.Reason, maxReason)
	data, err := json.Marshal(e)
	if err == nil {
		err = q.nc.Publish(events, data)
	}
	if err != nil {
		return fmt.Errorf("announce %s: %w", e.Kind, err)
	}
	return nil
}

// cut shortens s to at most n bytes, between characters.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}

// Watch gives the events announced from now on, by anyone on the same server. A
// reader that falls behind misses some. The channel is closed when ctx is done or
// the queue closes.
func (q *Queue) Watch(ctx context.Context) (<-chan orchestrator.Event, error) {
	ctx, leave, err := q.enter(ctx)
	if err != nil {
		return nil, err
	}
	in := make(chan *nats.Msg, backlog)
	sub, err := q.nc.ChanSubscribe(events, in)
	if err == nil {
		// Only when the server has answered is it sure to know of us.
		flush, cancel := context.WithTimeout(ctx, answerWait)
		err = q.nc.FlushWithContext(flush)
		cancel()
	}
	if err != nil {
		if sub != nil {
			_ = sub.Unsubscribe() // a connection that is gone has forgotten it
		}
		leave()
		return nil, fmt.Errorf("watch events: %w", err)
	}
	out := make(chan orchestrator.Event)
	go func() {
		defer leave()
		defer close(out)
		defer func() { _ = sub.Unsubscribe() }()
		q.pass(ctx, in, out)
	}()
	return out, nil
}

// pass decodes events until ctx is done. It blocks with the reader: what arrives
// meanwhile fills the backlog and then is dropped by the connection.
func (q *Queue) pass(ctx context.Context, in <-chan *nats.Msg, out chan<- orchestrator.Event) {
	for {
		var e orchestrator.Event
		select {
		case <-ctx.Done():
			return
		case m := <-in:
			if err := json.Unmarshal(m.Data, &e); err != nil || e.Kind == "" {
				q.log.Debug("not an event", "bytes", len(m.Data), "err", err)
				continue
			}
		}
		select {
		case <-ctx.Done():
			return
		case out <- e:
		}
	}
}
