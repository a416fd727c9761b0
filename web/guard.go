package web

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"runtime/debug"
	"slices"
	"strings"
	"time"
)

// pageTimeout bounds everything but streams: reading the store, rendering,
// sending.
const pageTimeout = 15 * time.Second

// policy forbids everything that the pages do not use. Guest text that got past
// the escaping could still load, run and send nothing.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; " +
	"connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// guard is what every request passes: headers, method, host, and a last resort
// for panics.
func (s *site) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		defer func() {
			if p := recover(); p != nil {
				if p == http.ErrAbortHandler {
					panic(p)
				}
				s.log.Error("page panicked", "path", r.URL.Path, "panic", p, "stack", string(debug.Stack()))
				s.fail(w, r, fmt.Errorf("this page stopped in the middle: its log says why"))
			}
		}()
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			h.Set("Allow", "GET, HEAD")
			s.fail(w, r, refuse(http.StatusMethodNotAllowed, "method_not_allowed",
				"%s is not allowed: pages are read with GET or HEAD", r.Method))
			return
		}
		if !hostAllowed(r, s.opt.Hosts) {
			s.fail(w, r, refuse(http.StatusMisdirectedRequest, "bad_request",
				"this server does not answer for host %q: open it by its address, or allow the name", visible(r.Host)))
			return
		}
		next.ServeHTTP(w, r)
	})
}

// hostAllowed keeps a web site that points a name of its own at the loopback
// address (DNS rebinding) from reading the pages through its visitor's browser.
// A server reached over loopback answers for loopback names and addresses, and
// for the names in extra, which a proxy on the same host may pass through.
func hostAllowed(r *http.Request, extra []string) bool {
	local, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	if !ok {
		return true // not served over a socket
	}
	at, err := netip.ParseAddrPort(local.String())
	if err != nil || !at.Addr().Unmap().IsLoopback() {
		return true
	}
	name := r.Host
	if host, _, err := net.SplitHostPort(name); err == nil {
		name = host
	}
	name = strings.ToLower(strings.TrimSuffix(strings.Trim(name, "[]"), "."))
	if name == "localhost" || strings.HasSuffix(name, ".localhost") || slices.Contains(extra, name) {
		return true
	}
	ip, err := netip.ParseAddr(name)
	return err == nil && ip.Unmap().IsLoopback()
}

// bounded gives a page's handler a context that ends.
func bounded(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), pageTimeout)
		defer cancel()
		next(w, r.WithContext(ctx))
	}
}

// NewServer makes the HTTP server of a handler, with limits for clients that
// are slow, silent or talk too much. Streams end when ctx does; end ctx before
// Shutdown, which waits for them.
func NewServer(ctx context.Context, h http.Handler) *http.Server {
	return &http.Server{
		Handler:           h,
		BaseContext:       func(net.Listener) context.Context { return ctx },
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      2 * pageTimeout, // streams move it on with every event
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    16 << 10,
	}
}
