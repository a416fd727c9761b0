package queue

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

const (
	startWait = 20 * time.Second // to read back the files, on a busy host
	// syncEvery is how often the server's files are synced. Nothing reads them
	// after a crash, so the server's own two minutes would do as well; this keeps
	// what a long-lived process has not written small.
	syncEvery = 15 * time.Second

	maxStore  = 1 << 30  // bytes on disk, far more than any line of open jobs
	maxMemory = 16 << 20 // bytes of streams in memory; we have none
)

// embedded is a NATS server inside this process. It has no port.
type embedded struct {
	server *server.Server
	fault  *fault
}

// openEmbedded starts the embedded server on an empty folder. What a predecessor
// left is thrown away unread: the store has every open job and Rebuild queues them
// again, while a server that reads garbled files back may take all the memory of
// the host before it finds them wrong.
func openEmbedded(ctx context.Context, cfg Config) (*Queue, error) {
	if cfg.Dir == "" {
		return nil, errors.New("no folder given for the embedded server")
	}
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return nil, err
	}
	if err := os.RemoveAll(filepath.Join(cfg.Dir, server.JetStreamStoreDir)); err != nil {
		return nil, err
	}
	return startEmbedded(ctx, cfg)
}

func startEmbedded(ctx context.Context, cfg Config) (*Queue, error) {
	srv, err := server.NewServer(&server.Options{
		ServerName: "headwatch", DontListen: true, NoSigs: true,
		JetStream: true, DisableJetStreamBanner: true, StoreDir: cfg.Dir,
		JetStreamMaxStore: maxStore, JetStreamMaxMemory: maxMemory,
		SyncInterval: syncEvery, MaxPayload: 2 * maxJob,
	})
	if err != nil {
		return nil, err
	}
	e := &embedded{server: srv, fault: &fault{log: cfg.Log}}
	srv.SetLoggerV2(e.fault, cfg.Log.Enabled(ctx, slog.LevelDebug), false, false)
	srv.Start()
	if err := e.check(); err != nil {
		e.stop()
		return nil, err
	}
	q, err := connect(ctx, cfg, e)
	if err != nil {
		e.stop()
		return nil, err
	}
	return q, nil
}

// check says whether the server has started.
func (e *embedded) check() error {
	if err := e.fault.err(); err != nil {
		return err
	}
	if !e.server.ReadyForConnections(startWait) {
		return fmt.Errorf("embedded server is not ready after %v", startWait)
	}
	if !e.server.JetStreamEnabled() {
		return errors.New("embedded server has no job storage")
	}
	return nil
}

func (e *embedded) stop() {
	e.server.Shutdown()
	e.server.WaitForShutdown()
}

// fault is the server's log: it passes everything on, and keeps the first fatal
// message, which the server does not report in any other way.
type fault struct {
	log   *slog.Logger
	mu    sync.Mutex
	fatal error
}

func (f *fault) err() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.fatal
}

func (f *fault) say(format string, v []any) {
	f.log.Debug("queue server", "says", fmt.Sprintf(format, v...))
}

func (f *fault) Noticef(format string, v ...any) { f.say(format, v) }
func (f *fault) Warnf(format string, v ...any)   { f.say(format, v) }
func (f *fault) Debugf(format string, v ...any)  { f.say(format, v) }
func (f *fault) Tracef(format string, v ...any)  { f.say(format, v) }
func (f *fault) Errorf(format string, v ...any)  { f.say(format, v) }

func (f *fault) Fatalf(format string, v ...any) {
	f.say(format, v)
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.fatal == nil {
		f.fatal = fmt.Errorf(format, v...)
	}
}
