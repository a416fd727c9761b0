package main

import (
	"context"
	"iter"
	"sync"

	"github.com/headwatch/headwatch/orchestrator"
	"github.com/headwatch/headwatch/runners/console"
	"github.com/headwatch/headwatch/web"
)

// consoles are the logs of the runs under way in this process, by run id.
type consoles struct {
	mu   sync.Mutex
	logs map[string]*liveLog
}

func newConsoles() *consoles { return &consoles{logs: map[string]*liveLog{}} }

// open makes a run's log and shows it until it is closed.
func (c *consoles) open(run string) orchestrator.ConsoleLog {
	l := &liveLog{Log: console.New(console.Options{}), gone: func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.logs, run)
	}}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.logs[run] = l
	return l
}

// Console finds the log of a run under way.
func (c *consoles) Console(run string) (web.Console, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	l, ok := c.logs[run]
	if !ok {
		return nil, false
	}
	return readable{l.Log}, true
}

// liveLog is a log that leaves the list when it is closed.
type liveLog struct {
	*console.Log
	gone func()
}

func (l *liveLog) Close() error {
	l.gone()
	return l.Log.Close()
}

// readable shows a log in the dashboard's terms.
type readable struct{ log *console.Log }

func (r readable) Size() int64 { return r.log.Size() }

func (r readable) Tail(n int) string { return r.log.Tail(n) }

func (r readable) Follow(ctx context.Context, from int64) iter.Seq2[web.Said, error] {
	return func(yield func(web.Said, error) bool) {
		for c, err := range r.log.Follow(ctx, from) {
			if !yield(web.Said{Offset: c.Offset, Data: c.Data, Missed: c.Missed}, err) {
				return
			}
		}
	}
}
