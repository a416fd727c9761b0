package queue

import (
	"context"
	"errors"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/headwatch/headwatch/orchestrator"
	"github.com/headwatch/headwatch/suites"
)

func TestJobsComeInOrderAndWhole(t *testing.T) {
	onEachServer(t, func(t *testing.T, open opener) {
		q := open(never)
		want := jobs(3)
		want[1].Layer = suites.Stress
		want[2].Kind, want[2].ID = orchestrator.BuildJob, "build-1"
		publish(t, q, want...)
		var got []orchestrator.Job
		for range want {
			l := next(t, q)
			got = append(got, l.Job())
			done(t, l)
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("jobs (-published +leased):\n%s", d)
		}
		if n := held(t, q); n != 0 {
			t.Errorf("the server holds %d jobs after all are done", n)
		}
	})
}

func TestSecondCopyOfAJob(t *testing.T) {
	onEachServer(t, func(t *testing.T, open opener) {
		q := open(never)
		publish(t, q, job(1), job(1))
		l := next(t, q)
		publish(t, q, job(1)) // leased
		if n := held(t, q); n != 1 {
			t.Errorf("the server holds %d copies", n)
		}
		wantNone(t, q)
		done(t, l)
		publish(t, q, job(1)) // done: a new one
		done(t, next(t, q))
	})
}

func TestTwoWorkersShare(t *testing.T) {
	onEachServer(t, func(t *testing.T, open opener) {
		const n = 200
		owner := open(never)
		var mu sync.Mutex
		times := map[string]int{}
		ctx, stop := context.WithCancel(soon(t))
		defer stop()
		var wg sync.WaitGroup
		for _, q := range []*Queue{owner, open(never)} {
			wg.Go(func() {
				for {
					l, err := q.Next(ctx)
					if err != nil {
						if ctx.Err() == nil {
							t.Error(err)
						}
						return
					}
					if err := l.Done(context.WithoutCancel(ctx)); err != nil {
						t.Error(err)
					}
					mu.Lock()
					times[l.Job().ID]++
					all := len(times) == n
					mu.Unlock()
					if all {
						stop()
					}
				}
			})
		}
		publish(t, owner, jobs(n)...)
		wg.Wait()
		for id, c := range times {
			if c != 1 {
				t.Errorf("%s was handed out %d times", id, c)
			}
		}
		if len(times) != n {
			t.Errorf("%d of %d jobs were handed out", len(times), n)
		}
	})
}

func TestLostLease(t *testing.T) {
	onEachServer(t, func(t *testing.T, open opener) {
		q := open(200 * time.Millisecond)
		publish(t, q, job(1))
		next(t, q).Drop() // a worker that gives no further sign of life
		l := next(t, q)
		if l.Job().ID != job(1).ID {
			t.Errorf("got %s", l.Job().ID)
		}
		done(t, l)
	})
}

func TestLeaseIsKeptAlive(t *testing.T) {
	// Long enough that a busy host does not keep the renewal waiting for all of it.
	const lease = 2 * time.Second
	onEachServer(t, func(t *testing.T, open opener) {
		q := open(lease)
		publish(t, q, job(1))
		l := next(t, q)
		ctx, cancel := context.WithTimeout(t.Context(), 3*lease/2)
		defer cancel()
		if other, err := open(lease).Next(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("a leased job was handed out again: %v, %v", other, err)
		}
		done(t, l)
	})
}

func TestReturn(t *testing.T) {
	onEachServer(t, func(t *testing.T, open opener) {
		q := open(never)
		publish(t, q, job(1))
		for _, delay := range []time.Duration{0, 300 * time.Millisecond, -time.Second} {
			l := next(t, q)
			began := time.Now()
			if err := l.Return(soon(t), delay); err != nil {
				t.Fatal(err)
			}
			if delay > 0 {
				wantNone(t, q) // and a job that waits keeps nobody from the others
			}
			again := next(t, q)
			if waited := time.Since(began); again.Job().ID != job(1).ID || waited < delay {
				t.Errorf("got %s %v after it was returned for %v", again.Job().ID, waited, delay)
			}
			if err := again.Return(soon(t), 0); err != nil {
				t.Fatal(err)
			}
		}
	})
}

func TestGarbageIsTakenOffTheQueue(t *testing.T) {
	for name, m := range map[string]struct{ subject, data string }{
		"not JSON":        {subjects + ".run.a", "\x00\xff{"},
		"empty":           {subjects + ".run.a", ""},
		"not a job":       {subjects + ".run.a", `[1]`},
		"another's place": {subjects + ".run.a", `{"id":"b","kind":"run"}`},
		"another kind":    {subjects + ".run.a", `{"id":"a","kind":"build"}`},
		"unknown kind":    {subjects + ".walk.a", `{"id":"a","kind":"walk"}`},
		"deep subject":    {subjects + ".run.a.b.c", `{"id":"a","kind":"run"}`},
	} {
		t.Run(name, func(t *testing.T) {
			q := mustOpen(t, Config{Dir: t.TempDir(), LeaseTime: never})
			if _, err := q.js.Publish(soon(t), m.subject, []byte(m.data)); err != nil {
				t.Fatal(err)
			}
			publish(t, q, job(1))
			done(t, next(t, q))
			if n := held(t, q); n != 0 {
				t.Errorf("the server still holds %d messages", n)
			}
		})
	}
}

func TestPublishRefuses(t *testing.T) {
	q := mustOpen(t, Config{Dir: t.TempDir()})
	for _, tt := range []struct {
		change func(*orchestrator.Job)
		want   string
	}{
		{func(j *orchestrator.Job) { j.ID = "" }, "job id"},
		{func(j *orchestrator.Job) { j.ID = "a.b" }, "job id"},
		{func(j *orchestrator.Job) { j.ID = "*" }, "job id"},
		{func(j *orchestrator.Job) { j.ID = strings.Repeat("a", 101) }, "job id"},
		{func(j *orchestrator.Job) { j.Kind = "" }, "unknown kind"},
		{func(j *orchestrator.Job) { j.Layer = 99 }, "invalid layer"},
		{func(j *orchestrator.Job) { j.Suite = strings.Repeat("a", maxJob) }, "at most 65536"},
	} {
		j := job(1)
		tt.change(&j)
		if err := q.Publish(soon(t), j); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("want an error with %q, got %v", tt.want, err)
		}
	}
}

// A Next that gives up at any moment loses no job: under an endless lease, a job
// that went astray would never come back.
func TestNextThatGivesUp(t *testing.T) {
	onEachServer(t, func(t *testing.T, open opener) {
		const n = 60
		q := open(never)
		found := map[string]bool{}
		var publisher sync.WaitGroup
		publisher.Go(func() {
			for i := range n {
				if err := q.Publish(soon(t), job(i)); err != nil {
					t.Error(err)
				}
			}
		})
		deadline := soon(t)
		gaveUp := 0
		for len(found) < n && deadline.Err() == nil {
			ctx, cancel := context.WithTimeout(deadline, time.Duration(rand.IntN(1500))*time.Microsecond)
			l, err := q.Next(ctx)
			cancel()
			if err != nil {
				gaveUp++
				continue
			}
			found[l.Job().ID] = true
			done(t, l)
		}
		publisher.Wait()
		if len(found) != n {
			t.Errorf("%d of %d jobs came, after %d calls that gave up", len(found), n, gaveUp)
		}
	})
}

func TestCloseEndsWhatIsUnderWay(t *testing.T) {
	onEachServer(t, func(t *testing.T, open opener) {
		q := open(never)
		publish(t, q, job(1))
		l := next(t, q)
		waiting := make(chan error)
		go func() {
			_, err := q.Next(t.Context())
			waiting <- err
		}()
		if err := q.Close(); err != nil {
			t.Fatal(err)
		}
		if err := <-waiting; !errors.Is(err, ErrClosed) {
			t.Errorf("Next during Close: %v", err)
		}
		_, nextErr := q.Next(t.Context())
		for what, err := range map[string]error{
			"Next": nextErr, "Publish": q.Publish(t.Context(), job(2)),
			"Rebuild": q.Rebuild(t.Context(), nil),
			"Done":    l.Done(t.Context()), "Return": l.Return(t.Context(), 0),
		} {
			if !errors.Is(err, ErrClosed) {
				t.Errorf("%s after Close: %v", what, err)
			}
		}
		if err := q.Close(); err != nil {
			t.Errorf("second Close: %v", err)
		}
	})
}
