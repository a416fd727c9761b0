package artifacts

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"time"
)

const (
	maxTries   = 100              // requests for one file, however little each brings
	maxBackoff = 30 * time.Second // between two requests
	maxWait    = 5 * time.Minute  // what a server may ask for by Retry-After
)

var (
	errRedirect = errors.New("redirected too often, or to plain HTTP")
	errCut      = errors.New("the server ended early")
	errStalled  = errors.New("nothing arrived")
	errTooLarge = errors.New("too large")
	errNoBranch = errors.New("the server has neither this file nor the branch")
)

// statusError is an answer that is not a file.
type statusError struct {
	code  int
	after time.Duration // of Retry-After; 0: the server did not say
}

func (e *statusError) Error() string {
	return fmt.Sprintf("the server answers %d %s", e.code, http.StatusText(e.code))
}

// localError is a fault on this side, which no other request mends.
type localError struct{ err error }

func (e *localError) Error() string { return e.err.Error() }
func (e *localError) Unwrap() error { return e.err }

// again reports whether the same request may do better.
func again(err error) bool {
	var (
		status *statusError
		local  *localError
		dns    *net.DNSError
		cert   *tls.CertificateVerificationError
	)
	switch {
	case errors.As(err, &status):
		switch status.code {
		case http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests:
			return true
		}
		return status.code >= 500 && status.code != http.StatusNotImplemented && status.code != http.StatusHTTPVersionNotSupported
	case errors.As(err, &local), errors.As(err, &cert), errors.Is(err, errRedirect), errors.Is(err, errTooLarge):
		return false
	case errors.As(err, &dns):
		return !dns.IsNotFound
	}
	return true
}

// backoff is the pause after the idle-th request in a row that brought nothing:
// base doubled each time, less up to half of it by chance, so that many workers
// do not come back together. What the server asks for goes before.
func backoff(idle int, base, after time.Duration, chance float64) time.Duration {
	if after > 0 {
		return after
	}
	d := base
	for range idle - 1 {
		if d *= 2; d >= maxBackoff {
			break
		}
	}
	d = min(d, maxBackoff)
	return d - time.Duration(chance*float64(d/2))
}

// retryAfter reads the header (RFC 9110, 10.2.3); 0 for one that says nothing.
func retryAfter(h http.Header, now time.Time) time.Duration {
	v := h.Get("Retry-After")
	if s, err := strconv.ParseUint(v, 10, 31); err == nil {
		return time.Duration(s) * time.Second
	}
	if at, err := http.ParseTime(v); err == nil {
		return max(0, at.Sub(now))
	}
	return 0
}

// retry calls try until it succeeds, cannot, or brings nothing too often. try
// reports whether anything arrived.
func (f *Fetcher) retry(ctx context.Context, try func() (moved bool, err error)) error {
	idle := 0
	for n := 1; ; n++ {
		moved, err := try()
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if idle++; moved {
			idle = 1
		}
		if !again(err) {
			return err
		}
		if idle >= f.o.Attempts || n >= maxTries {
			return fmt.Errorf("%w; gave up after %d requests", err, n)
		}
		var status *statusError
		var after time.Duration
		if errors.As(err, &status) {
			after = status.after
		}
		if after > maxWait {
			return fmt.Errorf("%w and asks to wait for %v", err, after)
		}
		if err := pause(ctx, backoff(idle, f.o.Backoff, after, rand.Float64())); err != nil {
			return err
		}
	}
}

func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
