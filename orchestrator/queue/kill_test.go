package queue

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/headwatch/headwatch/orchestrator"
)

// child opens the queue that "url URL" or "dir DIR" names, queues jobs when it is
// the owner, does one, leases three and says which. Then it waits to be killed.
func child(what string) error {
	ctx := context.Background()
	how, where, _ := strings.Cut(what, " ")
	cfg := Config{URL: where, LeaseTime: never}
	if how == "dir" {
		cfg.Dir, cfg.URL = where, ""
	}
	q, err := Open(ctx, cfg)
	if err != nil {
		return err
	}
	if how == "dir" {
		if err := q.Rebuild(ctx, jobs(6)); err != nil {
			return err
		}
	}
	for i := range 4 {
		l, err := q.Next(ctx)
		if err != nil {
			return err
		}
		if i == 0 {
			if err := l.Done(ctx); err != nil {
				return err
			}
		}
		fmt.Println(l.Job().Repeat)
	}
	_, err = q.Next(ctx) // the rest: two more, and then it waits
	if err == nil {
		_, err = q.Next(ctx)
	}
	if err != nil {
		return err
	}
	fmt.Println("all")
	_, err = q.Next(ctx)
	return err
}

// killedChild runs a child until it holds all jobs, and kills it. It returns the
// jobs that are still open: all but the first, which the child did.
func killedChild(t *testing.T, what string) (open []orchestrator.Job) {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(soon(t), exe)
	cmd.Env = append(os.Environ(), childVar+"="+what)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var said []string
	for lines := bufio.NewScanner(out); lines.Scan(); {
		said = append(said, lines.Text())
		if lines.Text() == "all" {
			break
		}
	}
	cmd.Process.Kill() // SIGKILL: nothing is tidied up
	cmd.Wait()
	if len(said) != 5 {
		t.Fatalf("the child said %q", said)
	}
	for _, j := range jobs(6) {
		if strconv.Itoa(j.Repeat) != said[0] {
			open = append(open, j)
		}
	}
	return open
}

func wantJobs(t *testing.T, q *Queue, want []orchestrator.Job) {
	t.Helper()
	for _, w := range want {
		l := next(t, q)
		if l.Job() != w {
			t.Errorf("got job %s, want %s", l.Job().ID, w.ID)
		}
		done(t, l)
	}
	if n := held(t, q); n != 0 {
		t.Errorf("%d jobs too many", n)
	}
}

func TestOwnerIsKilled(t *testing.T) {
	dir := t.TempDir()
	open := killedChild(t, "dir "+dir)
	q := mustOpen(t, Config{Dir: dir, LeaseTime: never})
	if err := q.Rebuild(soon(t), open); err != nil {
		t.Fatal(err)
	}
	wantJobs(t, q, open)
}

func TestWorkerIsKilled(t *testing.T) {
	url := externalServer(t)
	q := mustOpen(t, Config{URL: url, LeaseTime: never})
	publish(t, q, jobs(6)...)
	open := killedChild(t, "url "+url)
	if n := held(t, q); n != len(open) {
		t.Errorf("the server holds %d jobs, %d are open", n, len(open))
	}
	wantNone(t, q) // the leases live on
	if err := q.Rebuild(soon(t), open); err != nil {
		t.Fatal(err)
	}
	wantJobs(t, q, open)
}

func TestRebuild(t *testing.T) {
	onEachServer(t, func(t *testing.T, open opener) {
		owner, worker := open(never), open(never)
		publish(t, owner, jobs(4)...)
		doneBefore, leased := next(t, worker), next(t, worker)
		done(t, doneBefore)
		waiting := make(chan orchestrator.Lease)
		publish(t, owner, job(0))
		for range 3 {
			next(t, worker)
		}
		go func() { // a worker that waits meanwhile gets one of the new jobs
			l, err := worker.Next(soon(t))
			if err != nil {
				t.Error(err)
			}
			waiting <- l
		}()
		want := []orchestrator.Job{job(7), job(3), job(1), job(5), job(3)}
		if err := owner.Rebuild(soon(t), want); err != nil {
			t.Fatal(err)
		}
		first := <-waiting
		if first == nil || first.Job() != job(7) {
			t.Fatalf("the waiting worker got %v", first)
		}
		if n := held(t, owner); n != 4 {
			t.Errorf("the server holds %d jobs, want 4", n)
		}
		// What is said of a lease from before changes nothing.
		if err := leased.Done(soon(t)); err != nil {
			t.Logf("done with a lost lease: %v", err)
		}
		done(t, first)
		wantJobs(t, owner, []orchestrator.Job{job(3), job(1), job(5)})
	})
}
