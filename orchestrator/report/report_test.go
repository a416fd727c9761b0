package report

import (
	"flag"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func at(hour int) time.Time { return time.Date(2026, 3, 1, hour, 0, 0, 0, time.UTC) }

func located() Report {
	bad := Commit{Hash: strings.Repeat("b", 40), Author: "A. Committer", Email: "ac@example.org", Subject: "tcp: check the route earlier", Time: at(1)}
	return Report{
		ID: 7, Upstream: "freebsd", Target: "freebsd-amd64", Machine: "wired", Hardware: "2 CPUs, 512 MiB, virtio-net@wire", Case: "tcp/l01_v4",
		Checks: "connections that open, exchange and close leave nothing behind", State: "located",
		Said: "zone tcp_inpcb: 300 items more in use after 300 rounds, 1.00 a round", Opened: at(2),
		Culprit: &bad, Changes: []Change{{"sys/netinet/tcp_subr.c", 3, 1}, {"sys/netinet/logo.png", -1, -1}},
		Good: Commit{Hash: strings.Repeat("a", 40)}, Bad: bad, Confidence: .9987,
		AtGood: Count{0, 5}, AtBad: Count{4, 1},
		Run: &Run{ID: "0123456789ab", Kernel: "14.0-CURRENT", Accel: "tcg", Monitor: "QEMU 7.2.22", Image: "sha256:" + strings.Repeat("c", 64),
			Command: "qemu-system-x86_64 -m 512", Seed: 42, Finished: at(2)},
		Artifacts: []Artifact{{"nic0.pcapng", "application/x-pcapng", strings.Repeat("d", 64), 1234}},
		Version:   "v1",
	}
}

func reports() map[string]Report {
	ranged := located()
	ranged.State, ranged.Culprit, ranged.Changes, ranged.Between, ranged.Confidence = "ranged", nil, nil, 12, 0
	ranged.AtGood = Count{}
	fixed := located()
	fixed.State = "fixed"
	fixed.FixedBy, fixed.AtFix = &Commit{Hash: strings.Repeat("f", 40), Subject: "tcp: free it"}, Count{0, 5}
	build := Report{
		ID: 8, Upstream: "freebsd", Target: "freebsd-amd64", Case: "build", State: "ranged", Said: "sys/netinet/tcp_subr.c:12:3: use of undeclared identifier 'x'",
		Opened: at(2), Bad: located().Bad, AtBad: Count{1, 0}, Version: "v1",
	}
	hostile := located()
	hostile.Case = "tcp/`l01`"
	hostile.Culprit.Subject = "```\n# owned\x1b[31m"
	hostile.Culprit.Author = "A\nSigned-off-by: B"
	hostile.Said = "`x`\x00" + strings.Repeat("word ", 40)
	hostile.Crash = &Crash{Title: "panic: `x`", Signature: "s", Text: "panic: x\n```\n\tat foo\x07\n" + strings.Repeat("line\n", 200)}
	return map[string]Report{"located": located(), "ranged": ranged, "fixed": fixed, "build": build, "hostile": hostile}
}

func TestGolden(t *testing.T) {
	for name, r := range reports() {
		for _, f := range []Format{Text, Markdown} {
			var b strings.Builder
			if err := Write(&b, r, f); err != nil {
				t.Fatal(err)
			}
			path := filepath.Join("testdata", name+"."+string(f))
			if *update {
				if err := os.WriteFile(path, []byte(b.String()), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if diff := cmp.Diff(string(want), b.String()); err != nil || diff != "" {
				t.Errorf("%s (-want +got), %v; run with -update when it is meant:\n%s", path, err, diff)
			}
			if strings.ContainsAny(b.String(), "\x1b\x00\x07") {
				t.Errorf("%s has control characters", path)
			}
		}
	}
}

// What comes from outside cannot end the block that quotes it.
func TestMarkdownStaysQuoted(t *testing.T) {
	var b strings.Builder
	if err := Write(&b, reports()["hostile"], Markdown); err != nil {
		t.Fatal(err)
	}
	fences := 0
	for _, l := range strings.Split(b.String(), "\n") {
		if strings.HasPrefix(strings.TrimSpace(l), "```") {
			fences++
		}
		if fences%2 == 0 && (strings.Contains(l, "owned") || l == "# owned") {
			t.Errorf("a commit's subject got out of its block: %q", l)
		}
	}
	if fences == 0 || fences%2 != 0 {
		t.Errorf("%d fences", fences)
	}
}

func TestLimits(t *testing.T) {
	for _, tt := range []struct {
		k, n   int
		lo, hi float64
	}{
		{0, 5, 0, 1 - math.Pow(.025, 1./5)}, {5, 5, math.Pow(.025, 1./5), 1},
		{4, 5, .2836, .9949}, {0, 0, 0, 1}, {50, 1000, .0373, .0654},
	} {
		if lo, hi := limits(tt.k, tt.n); math.Abs(lo-tt.lo) > 1e-4 || math.Abs(hi-tt.hi) > 1e-4 {
			t.Errorf("%d of %d: %.4f to %.4f, want %.4f to %.4f", tt.k, tt.n, lo, hi, tt.lo, tt.hi)
		}
	}
}

func TestParseFormat(t *testing.T) {
	if _, err := ParseFormat("html"); err == nil {
		t.Error("html is a format")
	}
}
