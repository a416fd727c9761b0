package suites

import (
	"context"
	"encoding"
	"errors"
	"fmt"
	"testing"

	"pgregory.net/rapid"
)

// refused is what a machine's Call returns when the guest's kernel refused.
type refused struct{}

func (refused) Error() string         { return "smoke/x: connect: EIO" }
func (refused) KernelRefused() string { return "connect: EIO" }

func TestClassify(t *testing.T) {
	for name, c := range map[string]struct {
		err    error
		status Status
		reason string
	}{
		"nothing":         {nil, Passed, ""},
		"failure":         {Failf("%d bytes lost", 3), Failed, "3 bytes lost"},
		"wrapped failure": {fmt.Errorf("round 2: %w", Failf("lost")), Failed, "lost"},
		"skip":            {Skipf("needs %s", "kvm"), Skipped, "needs kvm"},
		"wrapped skip":    {fmt.Errorf("round 2: %w", Skipf("needs kvm")), Skipped, "needs kvm"},
		"refusal":         {refused{}, Failed, "connect: EIO"},
		"wrapped refusal": {fmt.Errorf("IPv4: %w", refused{}), Failed, "connect: EIO"},
		"anything else":   {errors.New("agent's stream is closed"), Broken, "agent's stream is closed"},
		"timeout":         {context.DeadlineExceeded, Broken, "context deadline exceeded"},
		"failure first":   {errors.Join(refused{}, Failf("lost")), Failed, "lost"},
	} {
		if status, reason := Classify(c.err); status != c.status || reason != c.reason {
			t.Errorf("%s: %v %q, want %v %q", name, status, reason, c.status, c.reason)
		}
	}
}

func TestSummarize(t *testing.T) {
	for name, c := range map[string]struct {
		statuses []Status
		want     Status
	}{
		"silence":          {nil, Broken},
		"passed":           {[]Status{Passed, Passed}, Passed},
		"one failed":       {[]Status{Passed, Broken, Failed, Skipped}, Failed},
		"one broken":       {[]Status{Passed, Broken, Skipped}, Broken},
		"skips and passes": {[]Status{Skipped, Passed}, Passed},
		"only skips":       {[]Status{Skipped, Skipped}, Skipped},
		"expected":         {[]Status{ExpectedFailure, Skipped}, Passed},
		"never set":        {[]Status{Passed, 0}, Broken},
		"out of range":     {[]Status{Failed, 99}, Broken},
	} {
		if got := Summarize(c.statuses); got != c.want {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

// Whatever the order, a run is passed only when nothing in it failed or broke
// and something in it passed.
func TestSummarizeNeverHidesAFault(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		statuses := rapid.SliceOf(rapid.SampledFrom(append(Statuses, 0, -1))).Draw(t, "statuses")
		got := Summarize(statuses)
		if shuffled := rapid.Permutation(statuses).Draw(t, "shuffled"); Summarize(shuffled) != got {
			t.Errorf("%v depends on the order", statuses)
		}
		good := 0
		for _, s := range statuses {
			switch s {
			case Passed, ExpectedFailure:
				good++
			case Skipped:
			default:
				if got == Passed || got == Skipped {
					t.Errorf("%v is %v", statuses, got)
				}
			}
		}
		if got == Passed && good == 0 {
			t.Errorf("%v is passed", statuses)
		}
	})
}

// word is an enum of this package.
type word[T any] interface {
	*T
	encoding.TextUnmarshaler
}

// roundTrip checks that each value reads back and that the words are want.
func roundTrip[T interface {
	comparable
	fmt.Stringer
	encoding.TextMarshaler
}, P word[T]](t *testing.T, values []T, want ...string) {
	t.Helper()
	if len(values) != len(want) {
		t.Fatalf("%d values, want %d", len(values), len(want))
	}
	for i, v := range values {
		text, err := v.MarshalText()
		if err != nil || string(text) != want[i] || v.String() != want[i] {
			t.Errorf("%v: %q, %v; want %q", v, text, err, want[i])
		}
		var back T
		if err := P(&back).UnmarshalText(text); err != nil || back != v {
			t.Errorf("%q reads back as %v, %v", text, back, err)
		}
	}
	var zero T
	if text, err := zero.MarshalText(); err == nil {
		t.Errorf("the zero value is written as %q", text)
	}
	for _, text := range []string{"", "good", zero.String()} {
		if err := P(&zero).UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q is read as %v", text, zero)
		}
	}
}

func TestStatusWords(t *testing.T) {
	roundTrip(t, Statuses, "passed", "failed", "broken", "skipped", "expected_failure")
}

func TestLayerWords(t *testing.T) {
	roundTrip(t, Layers, "smoke", "functional", "stress", "soak")
	for i := 1; i < len(Layers); i++ {
		if Layers[i] <= Layers[i-1] {
			t.Errorf("%v does not come after %v", Layers[i], Layers[i-1])
		}
	}
}
