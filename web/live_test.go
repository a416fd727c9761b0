package web_test

import (
	"context"
	"io"
	"io/fs"
	"iter"
	"strings"
	"sync"

	"github.com/headwatch/headwatch/orchestrator"
	"github.com/headwatch/headwatch/runners/console"
	"github.com/headwatch/headwatch/web"
)

// consoles is the Live of the tests: real console logs by run.
type consoles map[string]*countedLog

func (c consoles) Console(run string) (web.Console, bool) {
	log, ok := c[run]
	return log, ok
}

// countedLog adapts a console log: Follow's pieces, and the number of bytes
// said.
type countedLog struct {
	*console.Log
	mu   sync.Mutex
	size int64
}

func newLog(text string) *countedLog {
	l := &countedLog{Log: console.New(console.Options{})}
	io.WriteString(l, text)
	return l
}

func (l *countedLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.size += int64(len(p))
	return l.Log.Write(p)
}

func (l *countedLog) Size() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.size
}

func (l *countedLog) Follow(ctx context.Context, from int64) iter.Seq2[web.Said, error] {
	return func(yield func(web.Said, error) bool) {
		for c, err := range l.Log.Follow(ctx, from) {
			if !yield(web.Said{Offset: c.Offset, Data: c.Data, Missed: c.Missed}, err) {
				return
			}
		}
	}
}

// kept gives every finished run the same console.
func kept(text string) web.KeptConsole {
	return func(_ context.Context, run orchestrator.Run) (io.ReadCloser, error) {
		if run.Console == "" {
			return nil, fs.ErrNotExist
		}
		return io.NopCloser(strings.NewReader(text)), nil
	}
}
