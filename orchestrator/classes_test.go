package orchestrator

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/headwatch/headwatch/suites"
)

// Commits whose different inputs made the same image share runs and verdicts, and
// none of them is accused.
func TestMergedSharesEqualImages(t *testing.T) {
	w := newWorld(numbered(12)...)
	w.image = func(build string) string { // comments change in b3, b5 and b6
		for _, same := range [][2]string{{"b3", "b2"}, {"b5", "b4"}, {"b6", "b4"}} {
			if build == same[0] {
				build = same[1]
			}
		}
		return "sha256:" + build
	}
	w.result = func(build, name string, r *rand.Rand) suites.Status {
		return failFrom(4, "s/a")(w.image(build)[len("sha256:"):], name, r)
	}
	w.planner.Every = map[string]bool{testUpstream: true}
	w.settle(t)
	if len(w.view.Regressions) != 1 || w.view.Regressions[0].Culprit != "c004" {
		t.Fatalf("%+v, want culprit c004", w.view.Regressions)
	}
	for _, b := range []string{"b3", "b5", "b6"} {
		for key := range w.view.Runs {
			if key.Build == b {
				t.Errorf("%s ran although its image is another's", b)
			}
		}
	}
}

// Objects of earlier builds accuse nobody: a clean build of both ends comes first,
// and where it says otherwise the suspicion goes.
func TestPlanConfirmsByCleanBuilds(t *testing.T) {
	for _, stale := range []bool{false, true} {
		w := newWorld(numbered(8)...)
		w.incremental = true
		w.image = func(build string) string { return "sha256:" + build }
		broken := func(image, name string) bool {
			var at int
			fmt.Sscanf(image, "sha256:b%d", &at)
			return name == "s/a" && at >= 5 && image != "sha256:b5 clean" && (!stale || at == 5)
		}
		if stale {
			w.image = func(build string) string { // the clean build of b5 is another
				if build == "b5" && w.clean["b5"] {
					return "sha256:b5 clean"
				}
				return "sha256:" + build
			}
		}
		w.result = func(build, name string, _ *rand.Rand) suites.Status {
			if broken(w.image(build), name) {
				return suites.Failed
			}
			return suites.Passed
		}
		w.sel(0, 5)
		w.settle(t)
		r := w.view.Regressions[0]
		if !w.clean["b4"] || !w.clean["b5"] {
			t.Errorf("clean builds of %v, want both ends", w.clean)
		}
		if stale && r.State != Withdrawn || !stale && r.Culprit != "c005" {
			t.Errorf("stale %v: %+v", stale, r)
		}
	}
}
