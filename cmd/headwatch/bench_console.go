package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/metrics"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/headwatch/headwatch/runners/console"
)

// consoleBench is what `bench console` measured. Rates are medians, in 10^6 bytes
// per second of CPU time, so that a busy host does not decide them.
type consoleBench struct {
	LogBytes     int64   `json:"log_bytes"` // of the file that both search
	Words        int     `json:"words"`     // that both look for
	ScannerMBS   float64 `json:"scanner_mb_per_s"`
	GrepMBS      float64 `json:"grep_mb_per_s"`
	Ratio        float64 `json:"ratio"`             // scanner over grep -c -F -f
	WallRatio    float64 `json:"wall_ratio"`        // the same by the clock on the wall
	ScannerLimit float64 `json:"scanner_limit"`     // ScannerMBS and
	RatioLimit   float64 `json:"ratio_limit"`       // Ratio are to stay above
	KeptMBS      float64 `json:"kept_log_mb_per_s"` // scanned and kept, as for a guest
	GrepLines    int64   `json:"grep_lines"`        // that hold a word
	Crashes      int     `json:"crashes"`           // different ones
	Findings     int     `json:"findings"`
	Streamed     int64   `json:"streamed_bytes"`     // through one log
	Growth       int64   `json:"growth_bytes"`       // of this process's memory while they were, at most
	GrowthLimit  int64   `json:"growth_limit_bytes"` // below which Growth is to stay
}

const (
	benchRounds = 7
	benchLog    = 128 << 20 // bytes of the file that is searched
	benchChunk  = 128 << 10 // read at once, as grep does
)

func benchConsoleCommand(a *app) *cobra.Command {
	var gib float64
	cmd := &cobra.Command{
		Use: "console", Short: "how fast and in how much memory consoles are recognized", Args: cobra.NoArgs,
		Long: `Writes a log like those of healthy guests, the same in every run, and searches it
in turns with the recognizer and with grep -c -F -f for the same words. Then
streams --gib GiB of it through one console log and tells how the memory grew.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !(gib > 0 && gib <= 1024) {
				return usagef("--gib %g: want more than 0 and at most 1024", gib)
			}
			return a.benchConsole(cmd.Context(), int64(gib*(1<<30)))
		},
	}
	cmd.Flags().Float64Var(&gib, "gib", 2, "GiB streamed through one log")
	return cmd
}

func (a *app) benchConsole(ctx context.Context, stream int64) error {
	state, err := a.stateDir()
	if err != nil {
		return err
	}
	room, err := claimScratch(state, "bench")
	if err != nil {
		return rig(err)
	}
	defer room.release()
	b := consoleBench{Words: len(console.Literals()), ScannerLimit: 300, RatioLimit: 1, GrowthLimit: 10 << 20}
	if err := b.race(ctx, room.dir); err != nil {
		return rig(err)
	}
	if err := b.stream(ctx, stream); err != nil {
		return rig(err)
	}
	if a.json {
		return rig(a.document(b))
	}
	fmt.Fprintf(a.stdout, "recognizer       %8.0f MB/s per processor, %d words (limit %.0f MB/s)\n", b.ScannerMBS, b.Words, b.ScannerLimit)
	fmt.Fprintf(a.stdout, "grep -c -F -f    %8.0f MB/s, the same words and file, %d lines\n", b.GrepMBS, b.GrepLines)
	fmt.Fprintf(a.stdout, "ratio            %8.2f by CPU time (limit %.0f), %.2f by the clock\n", b.Ratio, b.RatioLimit, b.WallRatio)
	fmt.Fprintf(a.stdout, "with the log     %8.0f MB/s, kept with head and tail\n", b.KeptMBS)
	fmt.Fprintf(a.stdout, "memory           %8.1f MiB more after %.1f GiB (limit %d MiB)\n", float64(b.Growth)/(1<<20), float64(b.Streamed)/(1<<30), b.GrowthLimit>>20)
	return nil
}

// effort is what a search cost.
type effort struct{ cpu, wall time.Duration }

func medianOf(efforts []effort, of func(effort) time.Duration) float64 {
	var all []float64
	for _, e := range efforts {
		all = append(all, of(e).Seconds())
	}
	return median(all)
}

// race searches one file in turns.
func (b *consoleBench) race(ctx context.Context, dir string) error {
	log, words := filepath.Join(dir, "console.log"), filepath.Join(dir, "words")
	f, err := os.Create(log)
	if err != nil {
		return err
	}
	if err := errors.Join(console.WriteSample(f, benchLog), f.Close()); err != nil {
		return err
	}
	st, err := os.Stat(log)
	if err != nil {
		return err
	}
	b.LogBytes = st.Size()
	if err := os.WriteFile(words, []byte(strings.Join(console.Literals(), "\n")+"\n"), 0o644); err != nil {
		return err
	}
	var ours, greps []effort
	for range benchRounds {
		e, err := b.scan(ctx, log)
		if err != nil {
			return err
		}
		ours = append(ours, e)
		if e, err = b.grep(ctx, words, log); err != nil {
			return err
		}
		greps = append(greps, e)
	}
	cpu, wall := func(e effort) time.Duration { return e.cpu }, func(e effort) time.Duration { return e.wall }
	b.ScannerMBS, b.GrepMBS = float64(b.LogBytes)/1e6/medianOf(ours, cpu), float64(b.LogBytes)/1e6/medianOf(greps, cpu)
	b.Ratio, b.WallRatio = b.ScannerMBS/b.GrepMBS, medianOf(greps, wall)/medianOf(ours, wall)
	return nil
}

// scan searches with the recognizer.
func (b *consoleBench) scan(ctx context.Context, log string) (effort, error) {
	f, err := os.Open(log)
	if err != nil {
		return effort{}, err
	}
	defer f.Close()
	start, used := time.Now(), ownCPU()
	s := console.NewScanner()
	if _, err := io.CopyBuffer(struct{ io.Writer }{s}, struct{ io.Reader }{f}, make([]byte, benchChunk)); err != nil {
		return effort{}, err
	}
	e := effort{cpu: ownCPU() - used, wall: time.Since(start)}
	b.Crashes, b.Findings = len(s.Crashes()), len(s.Findings())
	if b.Crashes == 0 || b.Findings == 0 {
		return effort{}, errors.New("the recognizer found nothing in a log with reports: it is broken, and its speed means nothing")
	}
	return e, ctx.Err()
}

// grep searches with grep, in the locale that is its fastest.
func (b *consoleBench) grep(ctx context.Context, words, log string) (effort, error) {
	cmd := exec.CommandContext(ctx, "grep", "-c", "-F", "-f", words, log)
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	start := time.Now()
	out, err := cmd.Output()
	if err != nil {
		return effort{}, fmt.Errorf("grep, to compare with: %w", err)
	}
	if b.GrepLines, err = strconv.ParseInt(string(bytes.TrimSpace(out)), 10, 64); err != nil {
		return effort{}, fmt.Errorf("grep, to compare with: %w", err)
	}
	return effort{cpu: cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime(), wall: time.Since(start)}, nil
}

// stream pours size bytes through a log that keeps its head and tail.
func (b *consoleBench) stream(ctx context.Context, size int64) error {
	var sample bytes.Buffer
	if err := console.WriteSample(&sample, 8<<20); err != nil {
		return err
	}
	log := console.New(console.Options{})
	defer log.Close()
	pour := func() {
		for p := sample.Bytes(); len(p) > 0; p = p[min(benchChunk, len(p)):] {
			log.Write(p[:min(benchChunk, len(p))])
		}
	}
	for range 16 { // until it is full, and the garbage collector has found its pace
		pour()
	}
	before, used := heldMemory(), ownCPU()
	for b.Streamed < size {
		pour()
		b.Streamed += int64(sample.Len())
		b.Growth = max(b.Growth, heldMemory()-before)
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	b.KeptMBS = float64(b.Streamed) / 1e6 / (ownCPU() - used).Seconds()
	return nil
}

// ownCPU is the CPU time of this process so far.
func ownCPU() time.Duration {
	var r syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &r) != nil {
		return 0
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

// heldMemory is what the Go runtime has from the system and not given back, in
// bytes.
func heldMemory() int64 {
	s := []metrics.Sample{{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}}
	metrics.Read(s)
	return int64(s[0].Value.Uint64()) - int64(s[1].Value.Uint64())
}
