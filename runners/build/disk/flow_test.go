package disk_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/headwatch/headwatch/runners"
)

// Requests far above what a FreeBSD terminal keeps arrive, over both kinds of
// channel, several at a time and with short ones between.
func TestFreeBSDTakesLongRequests(t *testing.T) {
	b := image(t, freebsd(t))
	for control, sizes := range map[string][]int{
		"virtio": {1000, 30_000, 100_000, 1<<20 - 200},
		"serial": {1000, 8000, 30_000}, // 3 to 15 kB/s
	} {
		t.Run(control, func(t *testing.T) {
			m := mustBoot(t, b, spec(t, control))
			t.Logf("%.2f s to the agent", m.Facts().BootTime.Seconds())
			for _, size := range sizes {
				began := time.Now()
				longest, err := callBeside(t, m, size)
				if err != nil {
					t.Fatalf("%d bytes: %v", size, err)
				}
				took := time.Since(began)
				t.Logf("%8d bytes in %6.2f s (%.0f kB/s), short calls beside it %.2f s at most", size, took.Seconds(), float64(size)/took.Seconds()/1000, longest.Seconds())
			}
			if exit, err := m.Close(); exit != runners.ExitKilled || err != nil {
				t.Errorf("%v, %v", exit, err)
			}
		})
	}
}

// callBeside makes a call with size bytes of arguments, and short ones until it
// is answered; longest is what the slowest of these took.
func callBeside(t *testing.T, m runners.Machine, size int) (longest time.Duration, err error) {
	long := make(chan error, 1)
	go func() { long <- m.Call(t.Context(), "agent/info", strings.Repeat("x", size), nil) }()
	for {
		select {
		case err := <-long:
			return longest, err
		default:
		}
		began := time.Now()
		if err := m.Call(t.Context(), "agent/info", nil, nil); err != nil {
			return longest, fmt.Errorf("short call beside it: %w", err)
		}
		longest = max(longest, time.Since(began))
	}
}
