package web

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"strconv"
	"time"

	"github.com/headwatch/headwatch/orchestrator"
)

const (
	// maxKept bounds what is read of a kept console, uncompressed.
	maxKept = 64 << 20
	// maxTail is what the plain text of a running console shows.
	maxTail = 1 << 20
	// maxEvent bounds one event, and with it what a slow reader has waiting here.
	maxEvent = 16 << 10
	// heartbeat is how often a silent stream says that it is there, so that a
	// reader that is gone is noticed.
	heartbeat = 15 * time.Second
)

// consoleText sends the console as plain text: all that was kept, or what a
// running machine has said last.
func (s *site) consoleText(w http.ResponseWriter, r *http.Request) {
	run, err := s.read.Run(r.Context(), r.PathValue("id"))
	if err != nil {
		s.fail(w, r, s.missing(err, "run", r.PathValue("id")))
		return
	}
	var from io.ReadCloser
	if c, ok := s.live.Console(run.ID); ok && run.State == orchestrator.RunRunning {
		from = io.NopCloser(bytes.NewReader([]byte(c.Tail(maxTail))))
	} else if from, err = s.keptConsole(r.Context(), run); errors.Is(err, fs.ErrNotExist) {
		s.fail(w, r, refuse(http.StatusNotFound, "not_found", "no console of run %s is kept here", run.ID))
		return
	} else if err != nil {
		s.fail(w, r, err)
		return
	}
	defer from.Close()
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-cache")
	if r.Method == http.MethodHead {
		return
	}
	out, end := compressed(w, r)
	if err := s.copyClean(w, out, io.LimitReader(from, maxKept)); err != nil {
		s.log.Error("console", "run", run.ID, "err", err)
		fmt.Fprintf(out, "\n[the log cannot be read further; the server's log says why]\n")
	}
	end()
}

// copyClean copies console text and moves the write deadline on, for a log that
// is long over a line that is slow. A reader that is gone is no error.
func (s *site) copyClean(w http.ResponseWriter, out io.Writer, from io.Reader) error {
	control := http.NewResponseController(w)
	var c cleaner
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		control.SetWriteDeadline(time.Now().Add(s.opt.Stall))
		if _, werr := io.WriteString(out, c.Clean(buf[:n])); werr != nil {
			return nil
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// consoleStream sends a running console as server-sent events: "reset" when the
// stream does not go on where the reader was, then messages whose data is a JSON
// string and whose id is the byte offset after it, then "end".
func (s *site) consoleStream(w http.ResponseWriter, r *http.Request) {
	run, err := s.read.Run(r.Context(), r.PathValue("id"))
	if err != nil {
		s.fail(w, r, s.missing(err, "run", r.PathValue("id")))
		return
	}
	select {
	case s.streams <- struct{}{}:
		defer func() { <-s.streams }()
	default:
		w.Header().Set("Retry-After", "10")
		s.fail(w, r, refuse(http.StatusServiceUnavailable, "busy",
			"%d consoles are being followed already: try again in a moment, or read the plain text", cap(s.streams)))
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no") // a proxy must not hold events back
	if r.Method == http.MethodHead {
		return
	}
	e := &events{w: w, control: http.NewResponseController(w), stall: s.opt.Stall}
	if c, ok := s.live.Console(run.ID); ok {
		if err := e.follow(r.Context(), c, r.Header.Get("Last-Event-ID")); err != nil {
			s.log.Info("console stream ended", "run", run.ID, "err", err)
			return
		}
	}
	if r.Context().Err() == nil {
		e.send("event: end\ndata: \n\n")
	}
}

// events writes one stream.
type events struct {
	w       io.Writer
	control *http.ResponseController
	stall   time.Duration
}

// send writes and flushes. A reader that does not take the data within the
// stall time is cut off by the deadline.
func (e *events) send(text string) error {
	if err := e.control.SetWriteDeadline(time.Now().Add(e.stall)); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return err
	}
	if _, err := io.WriteString(e.w, text); err != nil {
		return fmt.Errorf("reader gone or too slow: %w", err)
	}
	return e.control.Flush()
}

// follow copies the console until it has ended. One goroutine waits for the
// console, so that this one can send heartbeats; it has ended when follow
// returns.
func (e *events) follow(ctx context.Context, c Console, lastID string) error {
	at, err := strconv.ParseInt(lastID, 10, 64)
	if err != nil || at < 0 || at > c.Size() {
		at = max(0, c.Size()-pageConsole)
		if err := e.send("event: reset\ndata: \n\n"); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithCancel(ctx)
	pieces, failed := make(chan Said), make(chan error, 1)
	go pull(ctx, c, at, pieces, failed)
	defer func() {
		cancel()
		for range pieces {
		}
	}()
	var text cleaner
	beat := time.NewTicker(heartbeat)
	defer beat.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-beat.C:
			if err := e.send(": still here\n\n"); err != nil {
				return err
			}
		case p, ok := <-pieces:
			if !ok {
				return <-failed
			}
			if err := e.said(p, &text); err != nil {
				return err
			}
		}
	}
}

// said sends one piece. Its id is where a reader that connects again goes on: a
// character that has not arrived whole is sent again with its rest.
func (e *events) said(p Said, text *cleaner) error {
	shown := ""
	if p.Missed > 0 {
		*text = cleaner{}
		shown = fmt.Sprintf("\n[... %d bytes not kept ...]\n", p.Missed)
	}
	shown += text.Clean(p.Data)
	data, err := json.Marshal(shown)
	if err != nil {
		return err
	}
	next := p.Offset + int64(len(p.Data)-text.pending())
	return e.send(fmt.Sprintf("id: %d\ndata: %s\n\n", next, data))
}

// pull hands over what the console says in bounded pieces, then closes the
// channel and says how it ended.
func pull(ctx context.Context, c Console, from int64, pieces chan<- Said, failed chan<- error) {
	defer close(pieces)
	for p, err := range c.Follow(ctx, from) {
		if err != nil {
			failed <- err
			return
		}
		for len(p.Data) > 0 {
			n := min(len(p.Data), maxEvent)
			// The console may use its buffer again as soon as it goes on.
			next := Said{Offset: p.Offset, Missed: p.Missed, Data: bytes.Clone(p.Data[:n])}
			select {
			case pieces <- next:
			case <-ctx.Done():
				failed <- nil
				return
			}
			p = Said{Offset: p.Offset + int64(n), Data: p.Data[n:]}
		}
	}
	failed <- nil
}
