package artifacts

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"strconv"
	"time"
)

const maxRedirects = 5

// newClient is a client that does not trust the server: it bounds headers,
// redirects and silence. Answers' bodies are bounded by who reads them.
func newClient(stall time.Duration) *http.Client {
	return &http.Client{
		Transport: &http.Transport{
			Proxy:                  http.ProxyFromEnvironment,
			DialContext:            (&net.Dialer{Timeout: min(stall, 30*time.Second)}).DialContext,
			TLSHandshakeTimeout:    min(stall, 30*time.Second),
			ResponseHeaderTimeout:  stall,
			MaxResponseHeaderBytes: 64 << 10,
			ForceAttemptHTTP2:      true,
			// Files are large and few. On a connection kept open, what a server says
			// unasked would be logged by the standard library.
			DisableKeepAlives: true,
			// A packed file that is unpacked on the way has neither its length nor
			// its digest.
			DisableCompression: true,
		},
		CheckRedirect: func(r *http.Request, via []*http.Request) error {
			if len(via) > maxRedirects || (via[0].URL.Scheme == "https" && r.URL.Scheme != "https") {
				return errRedirect
			}
			return nil
		},
	}
}

// call sends a GET and hands the answer to use, with a body that ends in
// errStalled when nothing arrives for a while.
func (f *Fetcher) call(ctx context.Context, url string, header http.Header, use func(*http.Response, io.Reader) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return &localError{err}
	}
	for k, v := range header {
		r.Header[k] = v
	}
	r.Header.Set("Accept-Encoding", "identity")
	watch := time.AfterFunc(f.o.Stall, func() { cancel(fmt.Errorf("%w for %v", errStalled, f.o.Stall)) })
	defer watch.Stop()
	resp, err := f.client.Do(r)
	if err == nil {
		err = use(resp, &liveReader{resp.Body, func() { watch.Reset(f.o.Stall) }})
		err = errors.Join(err, resp.Body.Close())
	}
	if cause := context.Cause(ctx); err != nil && errors.Is(cause, errStalled) {
		return cause
	}
	return err
}

type liveReader struct {
	r     io.Reader
	alive func()
}

func (l *liveReader) Read(p []byte) (int, error) {
	n, err := l.r.Read(p)
	if n > 0 {
		l.alive()
	}
	return n, err
}

func statusOf(resp *http.Response) *statusError {
	return &statusError{resp.StatusCode, retryAfter(resp.Header, time.Now())}
}

// missing reports an answer that says "there is no such file".
func missing(err error) bool {
	var status *statusError
	return errors.As(err, &status) && (status.code == http.StatusNotFound || status.code == http.StatusGone)
}

// text fetches a small file, of at most limit bytes.
func (f *Fetcher) text(ctx context.Context, url string, limit int64) (string, error) {
	var text []byte
	err := f.retry(ctx, func() (bool, error) {
		return false, f.call(ctx, url, nil, func(resp *http.Response, body io.Reader) (err error) {
			if resp.StatusCode != http.StatusOK {
				return statusOf(resp)
			}
			if text, err = io.ReadAll(io.LimitReader(body, limit+1)); err != nil {
				return err
			}
			if int64(len(text)) > limit {
				return fmt.Errorf("%w: more than %d bytes", errTooLarge, limit)
			}
			return nil
		})
	})
	return string(text), err
}

// exists asks whether the server has something at url; what it is does not
// matter, and a server that forbids to look has it.
func (f *Fetcher) exists(ctx context.Context, url string) (bool, error) {
	err := f.retry(ctx, func() (bool, error) {
		return false, f.call(ctx, url, nil, func(resp *http.Response, _ io.Reader) error {
			if resp.StatusCode < 300 || resp.StatusCode == http.StatusForbidden {
				return nil
			}
			return statusOf(resp)
		})
	})
	if missing(err) {
		return false, nil
	}
	return err == nil, err
}

// span is a Content-Range (RFC 9110, 14.4).
type span struct{ first, last, total int64 } // total -1: not said

var spanPattern = regexp.MustCompile(`^bytes (?:(\d{1,18})-(\d{1,18})|\*)/(\d{1,18}|\*)$`)

// parseSpan reads "bytes 5-9/10" and, of an answer 416, "bytes */10".
func parseSpan(s string) (span, bool) {
	m := spanPattern.FindStringSubmatch(s)
	if m == nil {
		return span{}, false
	}
	number := func(s string) int64 {
		n, err := strconv.ParseInt(s, 10, 64)
		if err != nil {
			return -1 // a star, or nothing
		}
		return n
	}
	r := span{number(m[1]), number(m[2]), number(m[3])}
	return r, r.first <= r.last && (r.total < 0 || r.last < r.total)
}
