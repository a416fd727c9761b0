package web

import (
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/headwatch/headwatch/web/api"
)

// refuse makes an error for the one who asked.
func refuse(status int, code, format string, args ...any) error {
	return &api.Error{Status: status, Code: code, Message: fmt.Sprintf(format, args...)}
}

// missing turns a Reader's error for an id that it does not hold into an answer
// that says so; any other error stays what it is.
func (s *site) missing(err error, what, id string) error {
	if err == nil || !s.opt.Unknown(err) {
		return err
	}
	cause := err
	for next := errors.Unwrap(cause); next != nil; next = errors.Unwrap(cause) {
		cause = next
	}
	return refuse(http.StatusNotFound, "not_found", "%s %q: %s", what, visible(id), visible(cause.Error()))
}

// fail answers with an error: a page, or JSON below /api/ and for programs. What
// is not meant for the reader goes to the log with the path.
func (s *site) fail(w http.ResponseWriter, r *http.Request, err error) {
	e, ok := errors.AsType[*api.Error](err)
	switch {
	case ok:
	case errors.Is(err, context.Canceled) && r.Context().Err() != nil:
		return // nobody listens any more
	case errors.Is(err, context.DeadlineExceeded):
		e = &api.Error{Status: http.StatusServiceUnavailable, Code: "unavailable",
			Message: "the store took too long to answer: try again in a moment"}
	default:
		e = &api.Error{Status: http.StatusInternalServerError, Code: "internal",
			Message: "the server could not read what this page shows; its log has the details"}
	}
	if e.Status >= http.StatusInternalServerError {
		s.log.Error("page", "path", r.URL.Path, "status", e.Status, "err", err)
	}
	w.Header().Set("Cache-Control", "no-store")
	if wantsJSON(r) {
		s.sendJSON(w, r, e.Status, api.Failure{Error: *e})
		return
	}
	s.page(w, r, e.Status, "error.html", pageData{
		Title: fmt.Sprintf("%d %s", e.Status, http.StatusText(e.Status)),
		Body:  errorPage{Status: e.Status, Text: http.StatusText(e.Status), Message: e.Message, Path: r.URL.Path},
	})
}

func wantsJSON(r *http.Request) bool {
	return strings.HasPrefix(r.URL.Path, "/api/") || r.URL.Path == api.PathHealth ||
		strings.HasPrefix(r.Header.Get("Accept"), "application/json")
}

func (s *site) sendJSON(w http.ResponseWriter, r *http.Request, status int, doc any) {
	body, err := json.MarshalIndent(doc, "", "  ")
	if err != nil {
		s.log.Error("marshal", "path", r.URL.Path, "err", err)
		status, body = http.StatusInternalServerError, []byte(`{"error":{"code":"internal","message":"not a number in the document"}}`)
	}
	s.send(w, r, status, "application/json", append(body, '\n'))
}

// send writes a whole body, compressed when that is worth it and wanted.
func (s *site) send(w http.ResponseWriter, r *http.Request, status int, ctype string, body []byte) {
	h := w.Header()
	h.Set("Content-Type", ctype)
	h.Add("Vary", "Accept-Encoding")
	if h.Get("Cache-Control") == "" {
		h.Set("Cache-Control", "no-cache")
	}
	const worthIt = 1 << 10
	if len(body) < worthIt || !acceptsGzip(r) {
		h.Set("Content-Length", strconv.Itoa(len(body)))
		w.WriteHeader(status)
		if r.Method != http.MethodHead {
			w.Write(body)
		}
		return
	}
	h.Set("Content-Encoding", "gzip")
	w.WriteHeader(status)
	if r.Method == http.MethodHead {
		return
	}
	z := gzip.NewWriter(w)
	z.Write(body)
	z.Close()
}

// acceptsGzip reads Accept-Encoding as far as it matters here: gzip named, and
// not with weight zero.
func acceptsGzip(r *http.Request) bool {
	for part := range strings.SplitSeq(r.Header.Get("Accept-Encoding"), ",") {
		name, param, _ := strings.Cut(strings.TrimSpace(part), ";")
		if strings.EqualFold(strings.TrimSpace(name), "gzip") {
			weight, ok := strings.CutPrefix(strings.TrimSpace(param), "q=")
			q, err := strconv.ParseFloat(weight, 64)
			return !ok || err != nil || q > 0
		}
	}
	return false
}

// compressed returns a writer for a body of unknown length, and what to do
// after it.
func compressed(w http.ResponseWriter, r *http.Request) (io.Writer, func() error) {
	w.Header().Add("Vary", "Accept-Encoding")
	if !acceptsGzip(r) {
		return w, func() error { return nil }
	}
	w.Header().Set("Content-Encoding", "gzip")
	z := gzip.NewWriter(w)
	return z, z.Close
}
