package artifacts

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"strings"
)

const (
	copyBuffer  = 256 << 10 // bytes
	reserveStep = 16 << 20  // bytes
)

// errStale says that what had arrived was dropped: the next request starts over.
var errStale = errors.New("the server has another version than the one that was begun")

// transfer completes the part, going on from what is there.
func (f *Fetcher) transfer(ctx context.Context, url string, p *part) error {
	best := p.size // starting over is no progress
	return f.retry(ctx, func() (bool, error) {
		if p.complete() {
			return false, nil
		}
		err := f.advance(ctx, url, p)
		moved := p.size > best
		best = max(best, p.size)
		return moved, err
	})
}

// advance is one request.
func (f *Fetcher) advance(ctx context.Context, url string, p *part) error {
	header := make(http.Header)
	if v := p.meta.validator(); p.size > 0 && v != "" {
		header.Set("Range", fmt.Sprintf("bytes=%d-", p.size))
		header.Set("If-Range", v)
	}
	return f.call(ctx, url, header, func(resp *http.Response, body io.Reader) error {
		if e := resp.Header.Get("Content-Encoding"); e != "" && !strings.EqualFold(e, "identity") {
			return &localError{fmt.Errorf("the server packs the file as %.40q though asked not to", e)}
		}
		if err := f.position(url, p, resp); err != nil {
			return err
		}
		if p.complete() {
			return nil
		}
		if p.meta.Total > f.o.MaxFile {
			return fmt.Errorf("%w: the server announces %d bytes, more than %d", errTooLarge, p.meta.Total, f.o.MaxFile)
		}
		return f.copy(ctx, url, p, body)
	})
}

// position makes the part end where the answer's body begins.
func (f *Fetcher) position(url string, p *part, resp *http.Response) error {
	fresh := partMeta{URL: url, ETag: resp.Header.Get("ETag"), LastModified: resp.Header.Get("Last-Modified"), Total: resp.ContentLength}
	switch resp.StatusCode {
	case http.StatusOK:
		return local(p.begin(fresh))
	case http.StatusPartialContent:
		s, ok := parseSpan(resp.Header.Get("Content-Range"))
		if ok && s.first == p.size && (s.total < 0 || p.meta.Total < 0 || s.total == p.meta.Total) &&
			(fresh.ETag == "" || p.meta.ETag == "" || fresh.ETag == p.meta.ETag) {
			return nil
		}
	case http.StatusRequestedRangeNotSatisfiable:
		if s, ok := parseSpan(resp.Header.Get("Content-Range")); ok && s.total == p.size && p.meta.Total < 0 {
			p.meta.Total = p.size
			return nil
		}
	default:
		return statusOf(resp)
	}
	return errors.Join(errStale, local(p.begin(partMeta{URL: url, Total: -1})))
}

// copy appends the body to the part. It has room made for all of it, or again
// and again when the server does not say how much it is.
func (f *Fetcher) copy(ctx context.Context, url string, p *part, body io.Reader) error {
	buf := make([]byte, copyBuffer)
	for next := p.size; ; {
		if p.size >= next {
			if err := f.cache.reserve(ctx, p); err != nil {
				return &localError{err}
			}
			if next += reserveStep; p.meta.Total >= 0 {
				next = math.MaxInt64
			}
		}
		n, err := body.Read(buf)
		if p.size+int64(n) > f.o.MaxFile {
			return fmt.Errorf("%w: more than %d bytes", errTooLarge, f.o.MaxFile)
		}
		if n > 0 {
			if _, err := p.Write(buf[:n]); err != nil {
				return local(err)
			}
			f.o.Progress(Progress{URL: url, Done: p.size, Total: p.meta.Total})
		}
		switch {
		case err == nil:
		case err != io.EOF:
			return fmt.Errorf("%w: %d of %d bytes: %w", errCut, p.size, p.meta.Total, err)
		case p.meta.Total >= 0 && p.size != p.meta.Total:
			return fmt.Errorf("%w: %d of %d bytes", errCut, p.size, p.meta.Total)
		default:
			return nil
		}
	}
}

func local(err error) error {
	if err == nil {
		return nil
	}
	return &localError{err}
}
