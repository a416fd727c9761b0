package queue

import (
	"context"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"go.uber.org/goleak"

	"github.com/headwatch/headwatch/orchestrator"
)

// childVar makes the test binary a process that is going to be killed; see
// kill_test.go.
const childVar = "HEADWATCH_TEST_CHILD"

func TestMain(m *testing.M) {
	if what := os.Getenv(childVar); what != "" {
		if err := child(what); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		return
	}
	goleak.VerifyTestMain(m)
}

// never is longer than any test: a job that comes back under this lease time was
// given back, or taken away, and did not wait for its lease to run out.
const never = time.Hour

// soon bounds what must happen. It is only reached by a test that fails.
func soon(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// opener opens one more connection to the queue of a test. Connections to an
// embedded server share the first one's server.
type opener func(lease time.Duration) *Queue

// onEachServer runs a test on the embedded server and on one reached by address.
func onEachServer(t *testing.T, test func(t *testing.T, open opener)) {
	t.Run("embedded", func(t *testing.T) {
		cfg := Config{Dir: t.TempDir()}
		var first *Queue
		test(t, func(lease time.Duration) *Queue {
			cfg := cfg
			cfg.LeaseTime = lease
			if first == nil {
				first = mustOpen(t, cfg)
				return first
			}
			q, err := connect(soon(t), mustComplete(t, cfg), &embedded{server: first.srv.server})
			if err != nil {
				t.Fatal(err)
			}
			q.srv = nil // the first one's
			t.Cleanup(func() { q.Close() })
			return q
		})
	})
	t.Run("external", func(t *testing.T) {
		url := externalServer(t)
		test(t, func(lease time.Duration) *Queue { return mustOpen(t, Config{URL: url, LeaseTime: lease}) })
	})
}

func mustOpen(t *testing.T, cfg Config) *Queue {
	t.Helper()
	q, err := Open(soon(t), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := q.Close(); err != nil {
			t.Error(err)
		}
	})
	return q
}

func mustComplete(t *testing.T, cfg Config) Config {
	t.Helper()
	cfg, err := complete(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

// externalServer runs a server with a port and gives its address.
func externalServer(t *testing.T) string {
	t.Helper()
	s := serveTCP(t, t.TempDir(), server.RANDOM_PORT)
	return s.ClientURL()
}

func serveTCP(t *testing.T, dir string, port int) *server.Server {
	t.Helper()
	s, err := server.NewServer(&server.Options{
		ServerName: "external", Host: "127.0.0.1", Port: port, NoSigs: true, NoLog: true,
		JetStream: true, StoreDir: dir, JetStreamMaxStore: 64 << 20, JetStreamMaxMemory: 1 << 20,
	})
	if err != nil {
		t.Fatal(err)
	}
	go s.Start() // returns when Shutdown closes the listener
	t.Cleanup(func() { stopServer(s) })
	if !s.ReadyForConnections(20 * time.Second) {
		t.Fatal("server is not ready")
	}
	return s
}

func stopServer(s *server.Server) {
	s.Shutdown()
	s.WaitForShutdown()
}

func job(n int) orchestrator.Job {
	return orchestrator.Job{
		ID: fmt.Sprintf("run-%04d", n), Kind: orchestrator.RunJob, Upstream: "demo", Commit: "c0ffee",
		Target: "linux-amd64", Image: "sha256:1", Machine: "small", Suite: "smoke", Repeat: n, Seed: 1<<63 + uint64(n),
	}
}

func jobs(n int) []orchestrator.Job {
	out := make([]orchestrator.Job, n)
	for i := range out {
		out[i] = job(i)
	}
	return out
}

func publish(t *testing.T, q *Queue, jobs ...orchestrator.Job) {
	t.Helper()
	for _, j := range jobs {
		if err := q.Publish(soon(t), j); err != nil {
			t.Fatal(err)
		}
	}
}

func next(t *testing.T, q *Queue) orchestrator.Lease {
	t.Helper()
	l, err := q.Next(soon(t))
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func done(t *testing.T, l orchestrator.Lease) {
	t.Helper()
	if err := l.Done(soon(t)); err != nil {
		t.Fatal(err)
	}
}

// held is how many jobs the server has, queued or leased.
func held(t *testing.T, q *Queue) int {
	t.Helper()
	s, err := q.js.Stream(soon(t), stream)
	if err != nil {
		t.Fatal(err)
	}
	return int(s.CachedInfo().State.Msgs)
}

// wantNone checks that nothing is handed out: every job leased before is still in
// the same hands, so a further one that is published now comes first.
func wantNone(t *testing.T, q *Queue) {
	t.Helper()
	marker := job(9999)
	publish(t, q, marker)
	l := next(t, q)
	if l.Job().ID != marker.ID {
		t.Fatalf("got job %s, which is not free", l.Job().ID)
	}
	done(t, l)
}
