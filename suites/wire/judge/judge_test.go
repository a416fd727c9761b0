package judge

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/headwatch/headwatch/suites/wire"
)

// Openings: the guest connects, and both sides agree on SACK and on scaling by 2⁶,
// or on neither.
const (
	open = `
0     > S  0:1                 win 65535 mss 1460 sackOK wscale 6
0.020 < S. 0:1 ack 1           win 65535 mss 1460 sackOK wscale 6
0.021 > .  1:1 ack 1           win 1000
`
	plain = `
0     > S  0:1                 win 65535 mss 1460
0.020 < S. 0:1 ack 1           win 65000 mss 1460
0.021 > .  1:1 ack 1           win 65000
`
)

// burst is n full segments of the guest from number first on, the ones of lost lost
// by the wire.
func burst(at float64, first, n int, lost ...int) string {
	var b strings.Builder
	for i := first; i < first+n; i++ {
		word := ""
		for _, l := range lost {
			if l == i {
				word = "lost"
			}
		}
		fmt.Fprintf(&b, "%.4f > . %s ack 1 win 1000 %s\n", at+float64(i-first)*0.0005, full(i, 1), word)
	}
	return b.String()
}

// wide is a script of a guest that scales no windows.
func wide(text string) string { return strings.ReplaceAll(text, "win 1000", "win 65000") }

// full is the range of n full segments from number i on.
func full(i, n int) string { return fmt.Sprintf("%d:%d", 1+1460*i, 1+1460*(i+n)) }

var withStream = Expect{Sent: func(wire.Flow) io.ReaderAt { return stream{} }}

// TestFindings has, for every code, a trace that just has it and one that just has not.
func TestFindings(t *testing.T) {
	for _, tt := range findingCases() {
		for kind, text := range map[string]string{"has": tt.has, "has not": tt.not} {
			t.Run(string(tt.code)+"/"+tt.name+"/"+kind, func(t *testing.T) {
				p := FreeBSD(1000)
				if tt.profile != nil {
					p = *tt.profile
				}
				x := withStream
				x.NoResend, x.Until = tt.noResend, tt.until
				a := Analyze(play(text), p, x)
				has := false
				for _, f := range a.Findings {
					has = has || f.Code == tt.code
					if kind == "has not" || f.Code != tt.code && !tt.others {
						t.Errorf("unwanted: %s", f.String())
					}
				}
				if kind == "has" && !has {
					t.Errorf("not found; %s", describe(a))
				}
			})
		}
	}
}

func describe(a *Analysis) string {
	var b strings.Builder
	for _, f := range a.Findings {
		fmt.Fprintln(&b, f.String())
	}
	for _, s := range a.Streams {
		for _, r := range s.Sent {
			fmt.Fprintf(&b, "%d: %v %d:%d %s again %d: %s\n", s.N, r.At, r.Start, r.End, r.Flags, r.Again, r.Reason)
		}
	}
	return b.String()
}

type findingCase struct {
	code     Code
	name     string
	has, not string
	noResend bool
	others   bool // other findings may follow from it
	until    time.Duration
	profile  *Profile
}

func TestEveryCodeHasACase(t *testing.T) {
	have := map[Code]bool{CounterMismatch: true, TooMuch: true}
	for _, c := range findingCases() {
		have[c.code] = true
	}
	for code := range sections {
		if !have[code] {
			t.Errorf("%s has no case", code)
		}
	}
}

// The page lists each code with where it is written.
func TestCodesAreDocumented(t *testing.T) {
	page, err := os.ReadFile(filepath.Join("..", "..", "..", "docs", "tcp.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, code := range append(slices.Collect(maps.Keys(sections)), CounterMismatch, TooMuch) {
		where := cmp.Or(sections[code], "–")
		row := regexp.MustCompile("(?m)^\\| `" + regexp.QuoteMeta(string(code)) + "` \\| .+ \\| " + regexp.QuoteMeta(where) + " \\|$")
		if !row.Match(page) {
			t.Errorf("docs/tcp.md has no row for %s with %q", code, where)
		}
	}
}

// synAcks is a passive open whose SYN|ACK is lost once and n times more.
func synAcks(n int) string {
	text := "0 < S 0:1 win 65535 mss 1460\n0.001 > S. 0:1 ack 1 win 65535 mss 1460 lost\n"
	at, gap := 0.001, 1.0
	for range n {
		at += gap
		text += fmt.Sprintf("%.3f > S. 0:1 ack 1 win 65535 mss 1460 lost\n", at)
		if gap == 1 {
			gap = 0.2 + 1
		}
		gap = (gap-0.2)*2 + 0.2
	}
	return text
}

// acks is n equal ACKs.
func acks(n int, gap float64) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "%.4f > . 1:1 ack 1 win 1000\n", 0.1+float64(i)*gap)
	}
	return b.String()
}

// A SYN that was never answered, and another one from the same port that is.
func TestAnswerToTheSecondOfTwoSYNs(t *testing.T) {
	s := (&script{guestISN: 1000, peerISN: 5000}).play("0 < S 0:1 win 65535 mss 1460\n")
	s.peerISN += 1 << 24
	s.play(`
	1     < S  0:1       win 65535 mss 1460
	1.001 > S. 0:1 ack 1 win 65535 mss 1460
	1.002 < .  1:1 ack 1 win 65535
	`)
	a := Analyze(s.events, Linux(), Expect{})
	if len(a.Findings) > 0 || len(a.Streams) != 2 {
		t.Errorf("%d streams, %v", len(a.Streams), a.Findings)
	}
}
