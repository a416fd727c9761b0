package simulate

import (
	"context"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/headwatch/headwatch/orchestrator/bisect"
)

func TestScratch(t *testing.T) {
	n, _ := strconv.Atoi(os.Getenv("TRIALS"))
	if n == 0 {
		t.Skip()
	}
	for _, p := range []float64{1, .5, .2, .1, .05} {
		if o := os.Getenv("ONLY"); o != "" && o != strconv.FormatFloat(p, 'g', -1, 64) {
			continue
		}
		for _, mode := range []string{"known", "learn", "q"} {
			if m := os.Getenv("MODE"); m != "" && m != mode || mode == "q" && (p > .5 || p < .2) {
				continue
			}
			m := bisect.DefaultModel()
			q := 0.
			switch mode {
			case "known":
				m.P, m.Q, m.Before, m.None = bisect.Known(p), bisect.Known(0), 0, 0
			case "learn":
				m.Q, m.Before, m.None = bisect.Known(0), 0, 0
			case "q":
				q = .01
			}
			t0 := time.Now()
			o, err := Study{Commits: 1000, P: Fixed(p), Q: Fixed(q), Options: Options{Model: m, Confirm: os.Getenv("CONFIRM") != ""}, Trials: n, Seed: 1}.Run(context.Background())
			if err != nil {
				t.Fatal(err)
			}
			b := bisect.Bound(1000, .01, p, q, 10)
			t.Logf("%5s p=%.2f ratio %.3f±%.3f acc %.4f low %.4f cost %.1f runs %.1f builds %.1f conf %.4f plans %.0f verify %.0f (%d) expected %.0f beyond %.3f %v %.2f ms", mode, p, o.Cost/b, o.CostError/b, float64(o.Right)/float64(n), o.Low, o.Cost, o.Runs, o.Builds, o.Confidence, o.Plans, o.Verify, o.Verified, o.Expected, o.BeyondHigh, o.Endings, time.Since(t0).Seconds()*1000/float64(n))
			if os.Getenv("CAL") != "" {
				for _, d := range o.Calibration {
					t.Logf("  %.3f %.3f ± %.3f %d", d.Stated, d.Right, d.Error, d.Trials)
				}
			}
		}
	}
}
