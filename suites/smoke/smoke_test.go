package smoke

import (
	"context"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"net"
	"regexp"
	"slices"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/headwatch/headwatch/suites"
	"github.com/headwatch/headwatch/suites/smoke/guest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// host is a Guest whose operations run in this process: this very kernel.
type host struct {
	cpus    int
	calls   map[string]func(args, result any) error // instead of the real operations
	crashes []string
	off     error
}

func (h *host) OS() string                     { return "linux" }
func (h *host) CPUs() int                      { return h.cpus }
func (h *host) Crashes() []string              { return h.crashes }
func (h *host) PowerOff(context.Context) error { return h.off }
func (h *host) Wire(int) net.Conn              { return nil }
func (h *host) MACs() []string                 { return nil }
func (h *host) Starved() time.Duration         { return 0 }

func (h *host) Call(ctx context.Context, op string, args, result any) error {
	if call, ok := h.calls[op]; ok {
		return call(args, result)
	}
	raw, err := json.Marshal(args)
	if err != nil {
		return err
	}
	answer, err := guest.Operations()[op](ctx, raw)
	if errno, ok := errors.AsType[syscall.Errno](err); ok {
		return &refused{errno.Error()}
	}
	if err != nil {
		return err
	}
	if raw, err = json.Marshal(answer); err != nil {
		return err
	}
	return json.Unmarshal(raw, result)
}

// refused is what a machine's Call returns when the guest's kernel refused.
type refused struct{ text string }

func (r *refused) Error() string         { return "op: " + r.text }
func (r *refused) KernelRefused() string { return r.text }

func run(t *testing.T, name string, h *host) (suites.Status, string) {
	t.Helper()
	cases := Suite().Cases
	i := slices.IndexFunc(cases, func(c suites.Case) bool { return c.Name == name })
	if i < 0 {
		t.Fatalf("no case %s", name)
	}
	ctx, cancel := context.WithTimeout(t.Context(), cases[i].Timeout)
	defer cancel()
	err := cases[i].Run(ctx, &suites.T{Guest: h, Rand: rand.New(rand.NewPCG(1, 2)), Metrics: map[string]float64{}})
	return suites.Classify(err)
}

// The cases pass on the kernel that runs this test, through the real operations.
func TestCasesOnThisHost(t *testing.T) {
	var saw guest.CPUs
	probe := &host{}
	if err := probe.Call(t.Context(), guest.OpCPUs, guest.CPUArgs{}, &saw); err != nil {
		t.Fatal(err)
	}
	for _, c := range Suite().Cases {
		if c.Layer != suites.Smoke {
			continue // the time of this host does not run ahead
		}
		t.Run(c.Name, func(t *testing.T) {
			if status, reason := run(t, c.Name, &host{cpus: len(saw.Online)}); status != suites.Passed {
				t.Errorf("%v: %s", status, reason)
			}
		})
	}
}

func TestSuiteIsWellFormed(t *testing.T) {
	s := Suite()
	var names []string
	for _, c := range s.Cases {
		names = append(names, c.Name)
		if (c.Layer != suites.Smoke) != (c.Name == "long_sleep") || c.Summary == "" || c.Run == nil || c.Timeout <= 0 || c.Layer == suites.Smoke && c.Timeout > time.Minute {
			t.Errorf("%+v", c)
		}
		if !regexp.MustCompile(`^[a-z0-9_]+$`).MatchString(c.Name) {
			t.Errorf("name %q", c.Name)
		}
	}
	want := []string{"clock", "cpus", "memory", "filesystem", "loopback_tcp", "console", "poweroff", "long_sleep"}
	if s.Name != "smoke" || !slices.Equal(names, want) {
		t.Errorf("%s: %q, want %q", s.Name, names, want)
	}
}

func TestErrorsOfTheGuest(t *testing.T) {
	refuse := func(_, _ any) error { return &refused{"connection 5 of 8: connect: EADDRNOTAVAIL (x)"} }
	lose := func(_, _ any) error { return errors.New("agent's stream is closed") }
	ops := map[string]string{"cpus": guest.OpCPUs, "memory": guest.OpMemory, "filesystem": guest.OpFilesystem,
		"loopback_tcp": guest.OpLoopback, "clock": guest.OpClock}
	for name, op := range ops {
		status, reason := run(t, name, &host{cpus: 2, calls: map[string]func(_, _ any) error{op: refuse}})
		want := "connection 5 of 8: connect: EADDRNOTAVAIL (x)"
		if name == "loopback_tcp" {
			want = "IPv4 " + want
		}
		if status != suites.Failed || reason != want {
			t.Errorf("%s refused: %v: %s", name, status, reason)
		}
		status, reason = run(t, name, &host{cpus: 2, calls: map[string]func(_, _ any) error{op: lose}})
		if status != suites.Broken {
			t.Errorf("%s lost: %v: %s", name, status, reason)
		}
	}
}

func TestConsoleAndPowerOff(t *testing.T) {
	for _, c := range []struct {
		name   string
		host   *host
		status suites.Status
		reason string
	}{
		{"console", &host{}, suites.Passed, ""},
		{"console", &host{crashes: []string{"panic: a"}}, suites.Failed, "crash on the console: panic: a"},
		{"console", &host{crashes: []string{"panic: a", "trap"}}, suites.Failed, "2 crashes on the console, the first: panic: a"},
		{"poweroff", &host{}, suites.Passed, ""},
		{"poweroff", &host{off: &refused{"reboot: EIO (x)"}}, suites.Failed, "reboot: EIO (x)"},
		{"poweroff", &host{off: errors.New("no end marker")}, suites.Broken, "no end marker"},
	} {
		if status, reason := run(t, c.name, c.host); status != c.status || reason != c.reason {
			t.Errorf("%s: %v: %s", c.name, status, reason)
		}
	}
}

// The clock case measures the host's side itself. A guest that is slow to answer
// keeps the pace; a clock that only advances while it is being slept on does not.
func TestClockAgainstTheHost(t *testing.T) {
	for name, c := range map[string]struct {
		delay  time.Duration // of every answer, on the host
		behind bool
		want   string
	}{
		"true":         {0, false, ""},
		"slow answers": {12 * time.Second, false, ""},
		"stands still": {0, true, "the monotonic clock is slow: it advanced by 400ms while at least 1s passed on the host"},
	} {
		synctest.Test(t, func(t *testing.T) {
			boot, behind := time.Now(), time.Duration(0)
			clocks := func() guest.Clocks {
				now := int64(time.Since(boot) - behind)
				return guest.Clocks{Monotonic: now, Wall: now}
			}
			sleep := func(_, result any) error {
				if c.behind && boot != time.Now() {
					behind = hostPause
				}
				r := result.(*guest.ClockReadings)
				r.Before = clocks()
				time.Sleep(guestSleep)
				r.After = clocks()
				time.Sleep(c.delay)
				return nil
			}
			_, reason := run(t, "clock", &host{calls: map[string]func(_, _ any) error{guest.OpClock: sleep}})
			if reason != c.want {
				t.Errorf("%s: %q, want %q", name, reason, c.want)
			}
		})
	}
}

func TestClockStopsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	h := &host{calls: map[string]func(_, _ any) error{guest.OpClock: func(_, _ any) error { cancel(); return nil }}}
	if err := clock(ctx, &suites.T{Guest: h}); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}
