// Package queue hands jobs to workers, on NATS JetStream. The server is embedded
// unless Config names another one; the rest is the same code for both.
//
// The store is the truth and the queue a copy of its open jobs: the owner of a
// state directory calls Rebuild at start, which also takes every lease away from
// workers that are gone. So nothing here has to survive anything: a server that
// lost its files, or has damaged ones, costs a rebuild.
//
// An external server, or one account of it, belongs to one owner.
package queue

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/headwatch/headwatch/orchestrator"
)

var (
	_ orchestrator.Queue = (*Queue)(nil)
	_ orchestrator.Lease = (*lease)(nil)
)

// ErrClosed is returned by everything that is called after Close.
var ErrClosed = errors.New("queue is closed")

const (
	defaultLease = 30 * time.Second
	// answerWait bounds every question to the server.
	answerWait = 10 * time.Second
	drainWait  = 2 * time.Second
)

// Config says where the queue lives.
type Config struct {
	Dir string // folder of the embedded server; what a predecessor left in it is discarded
	// URL is the address of an external server, or several separated by commas;
	// empty: the embedded one.
	URL string
	Log *slog.Logger // nil: nothing is logged
	// LeaseTime is how long a job stays with a worker that gives no sign of life;
	// 0 is 30 s. All who share a server use the same.
	LeaseTime time.Duration
}

// Queue is a connection to the queue. Its methods are safe for concurrent use.
type Queue struct {
	log   *slog.Logger
	lease time.Duration
	srv   *embedded // nil: external
	nc    *nats.Conn
	js    jetstream.JetStream
	gone  chan struct{} // closed when the connection is closed for good

	ctx    context.Context // done when Close begins
	cancel context.CancelFunc
	mu     sync.Mutex
	closed bool
	calls  sync.WaitGroup // calls under way and goroutines of leases
}

// Open connects to the queue and makes it ready, starting the embedded server if
// it is the one.
func Open(ctx context.Context, cfg Config) (*Queue, error) {
	cfg, err := complete(cfg)
	if err != nil {
		return nil, err
	}
	if cfg.URL != "" {
		shown, err := addresses(cfg.URL)
		if err != nil {
			return nil, fmt.Errorf("queue: %w", err)
		}
		q, err := connect(ctx, cfg, nil)
		if err != nil {
			return nil, fmt.Errorf("queue at %s: %w", shown, err)
		}
		return q, nil
	}
	q, err := openEmbedded(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("queue in %s: %w", cfg.Dir, err)
	}
	return q, nil
}

// complete checks a configuration and fills in its defaults.
func complete(cfg Config) (Config, error) {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.LeaseTime == 0 {
		cfg.LeaseTime = defaultLease
	}
	if cfg.LeaseTime < 0 {
		return cfg, fmt.Errorf("queue: lease time %v: must be positive", cfg.LeaseTime)
	}
	return cfg, nil
}

// connect makes a Queue on the embedded server, or on the external one if srv is
// nil. The Queue owns srv.
func connect(ctx context.Context, cfg Config, srv *embedded) (*Queue, error) {
	q := &Queue{log: cfg.Log, lease: cfg.LeaseTime, srv: srv, gone: make(chan struct{})}
	q.ctx, q.cancel = context.WithCancel(context.Background())
	opts := []nats.Option{
		nats.Name("headwatch"), nats.MaxReconnects(-1), nats.DrainTimeout(drainWait),
		nats.ClosedHandler(func(*nats.Conn) { close(q.gone) }),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
			q.log.Debug("queue connection", "err", err)
		}),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			if err != nil {
				q.log.Warn("queue is out of reach, reconnecting", "err", err)
			}
		}),
		nats.ReconnectHandler(func(*nats.Conn) { q.log.Info("queue is back") }),
	}
	if srv != nil {
		opts = append(opts, nats.InProcessServer(srv.server))
	}
	var err error
	if q.nc, err = nats.Connect(cfg.URL, opts...); err != nil {
		q.cancel()
		return nil, err
	}
	if q.js, err = jetstream.New(q.nc, jetstream.WithDefaultTimeout(answerWait)); err == nil {
		err = q.ensure(ctx)
	}
	if err != nil {
		q.srv = nil // the caller's until connect succeeds
		return nil, errors.Join(err, q.Close())
	}
	return q, nil
}

// Close ends what is under way, and with it every lease, and stops the
// embedded server. Jobs that are still leased are handed out again when their
// lease has run out, or at once by a Rebuild.
func (q *Queue) Close() error {
	q.mu.Lock()
	first := !q.closed
	q.closed = true
	q.mu.Unlock()
	if !first {
		return nil
	}
	q.cancel()
	q.calls.Wait()
	// Draining gives back a job that is on its way to a Next that gave up.
	if err := q.nc.Drain(); err != nil {
		q.nc.Close()
	}
	<-q.gone
	if q.srv != nil {
		q.srv.stop()
	}
	return nil
}

// enter begins a call that Close waits for. The context it returns is done when
// ctx is, when the queue closes, or on cancel, which ends the call.
func (q *Queue) enter(ctx context.Context) (_ context.Context, leave func(), err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return nil, nil, ErrClosed
	}
	q.calls.Add(1)
	ctx, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(q.ctx, func() { cancel(ErrClosed) })
	return ctx, func() {
		stop()
		cancel(nil)
		q.calls.Done()
	}, nil
}

// addresses checks a list of addresses, and returns it without passwords for
// people to see.
func addresses(list string) (shown string, err error) {
	parts := strings.Split(list, ",")
	for i, p := range parts {
		u, err := url.Parse(strings.TrimSpace(p))
		if err != nil || u.Host == "" {
			// The text may hold a password, and an error would quote it.
			return "", fmt.Errorf("address %d of %d is not of the form nats://host:port", i+1, len(parts))
		}
		parts[i] = u.Redacted()
	}
	return strings.Join(parts, ","), nil
}
