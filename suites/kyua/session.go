package kyua

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/headwatch/headwatch/suites"
	"github.com/headwatch/headwatch/suites/kyua/guest"
)

const (
	pollWait    = 10 * time.Second
	cleanupWait = time.Minute
	logKept     = 16 << 10 // bytes of kyua's log that the host remembers
)

// session is what the case does.
type session struct{ opt Options }

func (s session) run(ctx context.Context, t *suites.T) error {
	if err := s.opt.check(); err != nil {
		return err
	}
	if t.Report == nil {
		return errors.New("results of parts cannot be recorded here")
	}
	var started guest.Started
	if err := t.Guest.Call(ctx, guest.OpStart, guest.StartArgs{Dir: s.opt.Dir, Filters: s.opt.Filters,
		Variables: s.opt.Variables, Env: s.opt.Env, TimeoutS: s.opt.Timeout.Seconds()}, &started); err != nil {
		return err
	}
	if started.Missing != "" {
		return suites.Skipf("%s", line(started.Missing, reasonBytes))
	}
	report, err := s.follow(ctx, t.Guest, started.Run)
	if left := cleanup(ctx, t.Guest, started.Run); err == nil {
		err = left // after an error it is its consequence, and no news
	}
	if err != nil {
		return err
	}
	return s.tell(t, Apply(report.Cases, s.opt.Expected, s.opt.Known, s.opt.Filters))
}

// cleanup also ends a run that is given up, when ctx is done already.
func cleanup(ctx context.Context, g suites.Guest, run string) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanupWait)
	defer cancel()
	return g.Call(ctx, guest.OpCleanup, guest.CleanupArgs{Run: run}, nil)
}

// follow waits for kyua's end and reads its results.
func (s session) follow(ctx context.Context, g suites.Guest, run string) (Report, error) {
	end, log, err := wait(ctx, g, run)
	if err != nil {
		if id := underWay(log); id != "" {
			err = fmt.Errorf("while kyua ran %s: %w", id, err)
		}
		return Report{}, err
	}
	if err := judgeEnd(end, log); err != nil {
		return Report{}, err
	}
	dir, err := os.MkdirTemp(s.opt.Scratch, "headwatch-kyua-")
	if err != nil {
		return Report{}, err
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "results.db")
	if err := fetch(ctx, g, run, end, path, s.opt.Limits.withDefaults().FileBytes); err != nil {
		return Report{}, fmt.Errorf("kyua's results: %w", err)
	}
	report, err := Read(ctx, path, s.opt.Limits)
	if err != nil {
		return Report{}, fmt.Errorf("%w%s", err, lastWords(log))
	}
	return report, judgeReport(end.Exit, report.Cases, s.opt.Filters, log)
}

// wait follows the run to its end. It returns the end of the log with an error too.
func wait(ctx context.Context, g suites.Guest, run string) (end guest.End, log string, err error) {
	var offset int64
	for {
		var p guest.Progress
		args := guest.PollArgs{Run: run, Offset: offset, WaitS: pollWait.Seconds()}
		if err := g.Call(ctx, guest.OpPoll, args, &p); err != nil {
			return end, log, err
		}
		log += p.Log
		log = log[max(0, len(log)-logKept):]
		switch {
		case p.End != nil:
			return *p.End, log, nil
		case p.Next < offset:
			return end, log, fmt.Errorf("the agent's answer goes back from byte %d of the log to %d", offset, p.Next)
		}
		offset = p.Next
	}
}

// fetch writes the results file to path.
func fetch(ctx context.Context, g suites.Guest, run string, end guest.End, path string, limit int64) error {
	if end.Bytes <= 0 || end.Bytes > limit {
		return fmt.Errorf("a file of %d bytes: want 1 to %d", end.Bytes, limit)
	}
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer file.Close() // again, when all went well
	sum := sha256.New()
	for offset := int64(0); offset < end.Bytes; {
		var chunk guest.Chunk
		if err := g.Call(ctx, guest.OpFetch, guest.FetchArgs{Run: run, Offset: offset}, &chunk); err != nil {
			return err
		}
		if want := min(guest.ChunkBytes, end.Bytes-offset); int64(len(chunk.Data)) != want {
			return fmt.Errorf("%d bytes at byte %d of %d: want %d", len(chunk.Data), offset, end.Bytes, want)
		}
		sum.Write(chunk.Data)
		if _, err := file.Write(chunk.Data); err != nil {
			return err
		}
		offset += int64(len(chunk.Data))
	}
	if got := hex.EncodeToString(sum.Sum(nil)); got != end.Digest {
		return fmt.Errorf("%d bytes arrived with the digest %s: want %s", end.Bytes, got, line(end.Digest, 64))
	}
	return file.Close()
}

// tell reports each test case, and those that vanished as broken.
func (s session) tell(t *suites.T, o Outcome) error {
	notes := map[string]string{}
	for _, f := range o.UnexpectedlyPassed {
		notes[f.ID] = "unexpectedly passed: " + f.Why
	}
	for _, c := range o.Cases {
		r := suites.Result{Case: suiteName + "/" + c.ID(), Status: c.Status, Reason: c.Reason, Duration: c.Duration,
			Output: notes[c.ID()] + text(c)}
		if err := t.Report(r); err != nil {
			return err
		}
	}
	for _, f := range o.Vanished {
		r := suites.Result{Case: suiteName + "/" + f.ID, Status: suites.Broken, Reason: "vanished: " + f.Why}
		if err := t.Report(r); err != nil {
			return err
		}
	}
	return nil
}

// text is what a test case printed, both streams.
func text(c Case) string {
	s := ""
	for _, stream := range []struct {
		name string
		out  Output
	}{{"standard output", c.Stdout}, {"standard error", c.Stderr}} {
		if stream.out.Bytes > 0 {
			s += fmt.Sprintf("--- %s, %d bytes ---\n%s\n", stream.name, stream.out.Bytes, stream.out.Text)
		}
	}
	return s
}
