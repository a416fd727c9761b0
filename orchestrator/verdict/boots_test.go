package verdict

import (
	"math/rand/v2"
	"testing"

	"pgregory.net/rapid"
)

func times(n int, b Boot) []Boot {
	out := make([]Boot, n)
	for i := range out {
		out[i] = b
	}
	return out
}

func historyOf(n int, b Boot) (h History) {
	for range n {
		h = h.Add(b)
	}
	return h
}

func TestWeigh(t *testing.T) {
	pass, fail := Boot{Passed: 1}, Boot{Failed: 1}
	clean := History{Passed: 60}
	flaky := History{Passed: 90, Failed: 10}
	for _, tt := range []struct {
		name  string
		boots []Boot
		h     History
		want  Verdict
		more  int
	}{
		{"nothing", nil, clean, "", 1},
		{"a pass", times(1, pass), clean, Good, 0},
		{"a failure", times(1, fail), clean, "", 1},
		{"two", times(2, fail), clean, Bad, 0},
		{"two, never seen before", times(2, fail), History{}, Bad, 0},
		{"two of a flaky case", times(2, fail), flaky, "", 1},
		{"four of a flaky case", times(4, fail), flaky, Bad, 0},
		{"one boot, many clones", []Boot{{Failed: 50}}, clean, "", 1},
		{"a boot that decides", []Boot{{Failed: 50}, {Passed: 50}}, clean, "", 1},
		{"one of six, clean", append(times(5, pass), fail), clean, "", 1},
		{"one of six, flaky", append(times(5, pass), fail), flaky, Good, 0},
		{"one of fifteen, clean", append(times(14, pass), fail), clean, Skip, 0},
		{"a race: five of fifteen", append(times(10, pass), times(5, fail)...), clean, Bad, 0},
		{"as flaky as ever", append(times(9, pass), fail), flaky, Good, 0},
		{"many clones go both ways", times(10, Boot{500, 500}), clean, Bad, 0},
		{"as they always did", times(10, Boot{500, 500}), historyOf(100, Boot{500, 500}), Good, 0},
		{"clones that seldom fail, in most boots", times(5, Boot{25, 25}), historyOf(100, Boot{49, 1}), Bad, 0},
		{"and are as ever", times(5, Boot{49, 1}), historyOf(100, Boot{49, 1}), Good, 0},
		{"a long history", times(2, fail), History{Passed: 50_000_000}, Bad, 0},
		{"only broken", times(3, Boot{}), clean, "", 1},
	} {
		got := Weigh(tt.boots, tt.h)
		if got.Verdict != tt.want || (got.More > 0) != (tt.more > 0) {
			t.Errorf("%s: %+v, want %q, more: %d", tt.name, got, tt.want, tt.more)
		}
	}
}

// Boots count for more than clones: the same results from more boots are never
// less certain.
func TestClonesAreNotBoots(t *testing.T) {
	for n := 2; n <= 6; n++ {
		one, many := posteriorBad([]Boot{{Failed: n}}, History{}), posteriorBad(times(n, Boot{Failed: 1}), History{})
		if one >= many {
			t.Errorf("%d failures: %.3f of one boot, %.3f of as many boots", n, one, many)
		}
	}
}

// No build is bad without two failed boots, none good without a pass, asking for
// more always ends, and a failure more never makes a build look better.
func TestWeighNeverAccusesEarly(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := History{float64(rapid.IntRange(0, 200).Draw(t, "passed")), float64(rapid.IntRange(0, 20).Draw(t, "failed"))}
		var boots []Boot
		failed, passed := 0, 0
		for range mostBoots + 1 {
			o := Weigh(boots, h)
			if o.Bad < 0 || o.Bad > 1 || o.Verdict == Bad && failed < failedBoots || o.Verdict == Good && passed == 0 {
				t.Fatalf("%+v of %+v", o, boots)
			}
			if with := posteriorBad(append(times(1, Boot{Failed: 1}), boots...), h); with < o.Bad-1e-9 {
				t.Fatalf("%+v: a failure more lowers %.4f to %.4f", boots, o.Bad, with)
			}
			if o.Verdict != "" {
				return
			}
			if o.More < 1 {
				t.Fatalf("%+v: no verdict and nothing wanted", boots)
			}
			b := Boot{Failed: 1}
			if rapid.Bool().Draw(t, "pass") {
				b = Boot{Passed: 1}
			}
			boots, failed, passed = append(boots, b), failed+b.Failed, passed+b.Passed
		}
		t.Fatalf("no verdict after %d boots", len(boots))
	})
}

// Builds are weighed as they would be: a boot, and as many more as are wanted. Of good
// builds of a case that is as flaky as its history says, few are accused.
func TestWeighSeldomAccuses(t *testing.T) {
	r := rand.New(rand.NewPCG(6, 6))
	const builds = 300
	for _, tt := range []struct {
		q, p           float64 // what good and bad builds fail
		accused, found float64 // share of good ones at most; of bad ones whose first boot failed, at least
	}{
		{.001, 1, .001, .99}, {.01, .5, .002, .9}, {.05, .5, .003, .75}, {.2, .8, .01, .75},
	} {
		count := func(rate float64, first bool) (bad, boots int) {
			h := History{Passed: 100 * (1 - tt.q), Failed: 100 * tt.q}
			for range builds {
				var seen []Boot
				if first {
					seen = []Boot{{Failed: 1}}
				}
				o := Weigh(seen, h)
				for ; o.Verdict == ""; o = Weigh(seen, h) {
					b := Boot{Passed: 1}
					if r.Float64() < rate {
						b = Boot{Failed: 1}
					}
					seen = append(seen, b)
				}
				boots += len(seen)
				if o.Verdict == Bad {
					bad++
				}
			}
			return bad, boots
		}
		good, boots := count(tt.q, false)
		bad, more := count(tt.p, true)
		t.Logf("q %.3f: %.4f accused, %.2f boots; p %.1f: %.3f found, %.2f boots", tt.q, float64(good)/builds, float64(boots)/builds, tt.p, float64(bad)/builds, float64(more)/builds)
		if float64(good) > tt.accused*builds || float64(bad) < tt.found*builds {
			t.Errorf("q %v, p %v: %d of %d good builds are accused, %d of as many bad ones", tt.q, tt.p, good, builds, bad)
		}
	}
}
