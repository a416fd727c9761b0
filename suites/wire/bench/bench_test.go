package bench

import (
	"context"
	"encoding/json"
	"errors"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestRun(t *testing.T) {
	r, err := Run(t.Context(), Options{Dir: t.TempDir(), Frames: 20_000, Rounds: 2, Samples: 200})
	if err != nil {
		t.Fatal(err)
	}
	b, _ := json.Marshal(r)
	t.Logf("%s", b)
	if r.Dropped != 0 || r.Unsaved != 0 || r.Captured != 2*4*20_000 || r.Rate < 1000 || r.Median <= 0 || r.Bare <= 0 || r.Late < 0 {
		t.Errorf("%+v", r)
	}
}

func TestRunIsCancelled(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := Run(ctx, Options{Dir: t.TempDir(), Frames: 1 << 30}); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
}
