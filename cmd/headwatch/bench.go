package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/headwatch/headwatch/orchestrator"
)

func benchCommand(a *app) *cobra.Command {
	var o cloneOptions
	var profile string
	cmd := &cobra.Command{
		Use: "bench NAME", Short: "measure, and print ratios of one run", ValidArgs: []string{"demo", "clone", "race", "overhead"},
		Long: `demo: runs the demo from nothing and prints how long it took, and what share of
the processors and how much memory the orchestrator itself needed beside QEMU.

clone: boots a target, freezes it, and prints how long a clone of it takes from
asking to the answer of an agent with a clock, address and randomness of its own,
beside cold boots of the same run; and what 20 clones take of the memory. Without
--target: every target that has an image, or gets one without compiling.

race: searches a Linux guest for three seeded races with and without pressure on
its virtual CPUs, in turns, and prints the median times and their ratio.

overhead: runs cases that do nothing, each in a clone and with its result stored, and
prints the CPU time that this process takes for one, QEMU's own left out.`,
		Args: cobra.MatchAll(cobra.ExactArgs(1), cobra.OnlyValidArgs),
		RunE: func(cmd *cobra.Command, args []string) error {
			if args[0] != "overhead" && profile != "" {
				return usagef("--profile is for bench overhead")
			}
			switch args[0] {
			case "clone":
				return a.benchClone(cmd.Context(), o)
			case "overhead":
				return a.benchOverhead(cmd.Context(), o, profile)
			}
			if o != (cloneOptions{}) {
				return usagef("--target and --image are for bench clone and overhead")
			}
			if args[0] == "race" {
				return a.benchRace(cmd.Context())
			}
			return a.benchDemo(cmd.Context())
		},
	}
	cmd.AddCommand(benchBuildCommand(a), benchConsoleCommand(a), benchWireCommand(a), benchDetectCommand(a), benchAlarmsCommand(a), benchBisectCommand(a))
	cmd.Flags().StringVar(&o.target, "target", "", "`target` of the pipeline (clone, overhead; default of the latter: linux)")
	cmd.Flags().StringVar(&o.image, "image", "", "`id` of an image of the state directory (clone, overhead)")
	cmd.Flags().StringVar(&profile, "profile", "", "`file` for a CPU profile (overhead)")
	return cmd
}

// demoBench is what `bench demo` measured. Shares are of the whole machine: 1 is
// every processor for the whole time.
type demoBench struct {
	DurationS     float64 `json:"duration_s"`
	FirstVerdictS float64 `json:"first_verdict_s"`
	Processors    int     `json:"processors"`
	OwnShare      float64 `json:"own_share"`     // CPU time of the orchestrator over wall time × processors
	OwnOfAll      float64 `json:"own_of_all"`    // over all CPU time, QEMU's included
	MaxRSSMiB     float64 `json:"max_rss_mib"`   // peak of the orchestrator
	ShareLimit    float64 `json:"share_limit"`   // OwnShare and
	RSSLimitMiB   float64 `json:"rss_limit_mib"` // MaxRSSMiB are to stay below
}

func (a *app) benchDemo(ctx context.Context) error {
	self, err := os.Executable()
	if err != nil {
		return rig(err)
	}
	state, err := a.stateDir()
	if err != nil {
		return err
	}
	room, err := claimScratch(state, "bench")
	if err != nil {
		return rig(err)
	}
	defer room.release()
	cmd := exec.CommandContext(ctx, self, "demo", "--once", "--json", "--seed", "1", "--listen", "127.0.0.1:0", "--state", filepath.Join(room.dir, "demo"))
	cmd.Stderr = a.stderr
	cmd.ExtraFiles = []*os.File{room.lock} // should we be killed, the folder is in use until the demo has ended, too
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	out, err := cmd.Output()
	if err != nil {
		return rig(fmt.Errorf("demo: %w", err))
	}
	var d demoDocument
	if err := json.Unmarshal(out, &d); err != nil {
		return rig(errors.Join(errors.New("demo: its document"), err))
	}
	n := runtime.NumCPU()
	b := demoBench{
		DurationS: d.DurationS, FirstVerdictS: d.FirstVerdictS, Processors: n,
		OwnShare: d.CPUS / (d.DurationS * float64(n)), OwnOfAll: d.CPUS / (d.CPUS + d.ChildrenCPUS),
		MaxRSSMiB: float64(d.MaxRSSBytes) / (1 << 20), ShareLimit: .05, RSSLimitMiB: 150,
	}
	if a.json {
		return rig(a.document(b))
	}
	fmt.Fprintf(a.stdout, "demo             %8.1f s   first verdict after %.1f s\n", b.DurationS, b.FirstVerdictS)
	fmt.Fprintf(a.stdout, "orchestrator     %8.2f %% of %d processors (limit %.0f %%), %.2f %% of all CPU time spent\n", 100*b.OwnShare, n, 100*b.ShareLimit, 100*b.OwnOfAll)
	fmt.Fprintf(a.stdout, "its memory       %8.1f MiB at its peak (limit %.0f MiB)\n", b.MaxRSSMiB, b.RSSLimitMiB)
	return nil
}

// usage fills in what this process and its children have used so far.
func (d *demoDocument) usage() {
	var self, children syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &self) != nil || syscall.Getrusage(syscall.RUSAGE_CHILDREN, &children) != nil {
		return
	}
	cpu := func(r syscall.Rusage) float64 {
		return time.Duration(r.Utime.Nano() + r.Stime.Nano()).Seconds()
	}
	d.CPUS, d.ChildrenCPUS = cpu(self), cpu(children)
	d.MaxRSSBytes = int64(self.Maxrss) * 1024 // KiB on Linux and FreeBSD alike
}

// firstRun notes when the first run ended.
type firstRun struct {
	mu sync.Mutex
	at time.Time
}

func (f *firstRun) event(e orchestrator.Event) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if e.Kind == orchestrator.EventRun && f.at.IsZero() {
		f.at = time.Now()
	}
}

func (f *firstRun) since(t time.Time) float64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.at.IsZero() {
		return 0
	}
	return f.at.Sub(t).Seconds()
}
