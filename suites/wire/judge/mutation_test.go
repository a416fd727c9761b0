package judge

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/headwatch/headwatch/suites/wire"
)

// goodScripts are traces with which nothing is wrong, whatever stack they are of.
func goodScripts() []string {
	var all []string
	for _, c := range findingCases() {
		if c.profile == nil && !slices.Contains(all, c.not) {
			all = append(all, c.not)
		}
	}
	return all
}

// cell is a line of a script, taken apart.
type cell struct {
	text       string
	out        bool
	start, end int64
	lost       bool
	ack        int64 // -1: none
	at         float64
}

var ackWord = regexp.MustCompile(`\back (\d+)`)

func cells(script string) []cell {
	var all []cell
	at := 0.0
	for line := range strings.Lines(script) {
		w := strings.Fields(line)
		if len(w) == 0 {
			continue
		}
		t := must(strconv.ParseFloat(strings.TrimPrefix(w[0], "+"), 64))
		if strings.HasPrefix(w[0], "+") {
			t += at
		}
		at = t
		c := cell{text: strings.TrimSpace(line), out: w[1] == ">", lost: slices.Contains(w, "lost"), ack: -1, at: at}
		c.start, c.end = pair(w[3])
		if m := ackWord.FindStringSubmatch(line); m != nil {
			c.ack = must(strconv.ParseInt(m[1], 10, 64))
		}
		all = append(all, c)
	}
	return all
}

// mutation spoils one line of a good trace; the judge has to say one of the codes.
type mutation struct {
	name  string
	codes []Code
	at    func(all []cell, i int) bool // where it can be
	spoil func(c cell) []string        // the lines that are there instead
	until time.Duration                // how much longer the trace goes on
}

func mutations() []mutation {
	isData := func(c cell) bool { return c.out && c.end-c.start > 1 && c.start > 0 }
	fresh := func(all []cell, i int) bool {
		return isData(all[i]) && !all[i].lost && !slices.ContainsFunc(all, func(o cell) bool {
			return isData(o) && o.text != all[i].text && o.start < all[i].end && all[i].start < o.end
		})
	}
	heard := func(all []cell, i int) (end int64) {
		for _, c := range all[:i] {
			if !c.out && !c.lost {
				end = max(end, c.end)
			}
		}
		return end
	}
	again := func(all []cell, i int) bool {
		return isData(all[i]) && slices.ContainsFunc(all[:i], func(o cell) bool { return isData(o) && o.lost && o.start == all[i].start })
	}
	set := func(pattern *regexp.Regexp, word string, n int64) func(string) string {
		return func(s string) string { return pattern.ReplaceAllString(s, fmt.Sprintf("%s %d", word, n)) }
	}
	sackWord := regexp.MustCompile(`\bsack (\d+):(\d+)`)
	return []mutation{
		{name: "another byte", codes: []Code{WrongContent}, at: fresh,
			spoil: func(c cell) []string { return []string{c.text + " other"} }},
		{name: "a wrong checksum", codes: []Code{BadChecksum}, at: func(all []cell, i int) bool { return all[i].out },
			spoil: func(c cell) []string { return []string{c.text + " badsum"} }},
		{name: "an ACK of one byte too many", codes: []Code{AckAhead},
			at: func(all []cell, i int) bool {
				return all[i].out && all[i].ack > 0 && all[i].ack == heard(all, i) && !strings.Contains(all[i].text, "> R")
			},
			spoil: func(c cell) []string { return []string{set(ackWord, "ack", c.ack+1)(c.text)} }},
		{name: "a SACK of one byte too many", codes: []Code{FalseSACK},
			at: func(all []cell, i int) bool { return all[i].out && sackWord.MatchString(all[i].text) },
			spoil: func(c cell) []string {
				m := sackWord.FindStringSubmatch(c.text)
				return []string{sackWord.ReplaceAllString(c.text, fmt.Sprintf("sack %s:%d", m[1], must(strconv.ParseInt(m[2], 10, 64))+1))}
			}},
		{name: "sent two times", codes: []Code{NeedlessResend, ResentTwice, AckedResent, SackedResent}, at: fresh,
			spoil: func(c cell) []string {
				_, rest, _ := strings.Cut(c.text, " ")
				return []string{c.text, fmt.Sprintf("%.5f %s", c.at+.0002, rest)}
			}},
		{name: "never sent again", codes: []Code{NoFastRetransmit, LateRTO}, at: again, until: time.Minute,
			spoil: func(cell) []string { return nil }},
	}
}

// Each mutation of a good trace is found, by a code that says what is wrong.
func TestMutationsAreFound(t *testing.T) {
	for _, m := range mutations() {
		tried := 0
		for _, script := range goodScripts() {
			all := cells(script)
			for i := range all {
				if !m.at(all, i) {
					continue
				}
				tried++
				bad := spoiled(all, i, m)
				x := withStream
				x.Until = time.Duration(all[len(all)-1].at*1e9) + m.until
				a := Analyze(play(bad), FreeBSD(1000), x)
				if !slices.ContainsFunc(a.Findings, func(f Finding) bool { return slices.Contains(m.codes, f.Code) }) {
					t.Errorf("%s, in %q: want one of %v; %s\n%s", m.name, all[i].text, m.codes, describe(a), bad)
				}
			}
		}
		if tried == 0 {
			t.Errorf("%s: no trace has a place for it", m.name)
		}
		t.Logf("%s: %d places", m.name, tried)
	}
}

func spoiled(all []cell, at int, m mutation) string {
	var b strings.Builder
	for i, c := range all {
		lines := []string{c.text}
		if i == at {
			lines = m.spoil(c)
		} else if m.name == "never sent again" && c.out && c.start == all[at].start && i > at {
			continue // nor later
		} else if m.name == "never sent again" && !c.out && c.ack > all[at].start && i > at {
			continue // nobody can have acknowledged it
		}
		for _, l := range lines {
			fmt.Fprintln(&b, l)
		}
	}
	return b.String()
}

// codesOf are the codes of findings, in order.
func codesOf(a *Analysis) (codes []Code) {
	for _, f := range a.Findings {
		codes = append(codes, f.Code)
	}
	return codes
}

// What is found depends neither on where sequence numbers begin, nor on when it was, nor
// on what else crosses the wire.
func TestFindingsAreInvariant(t *testing.T) {
	cases := findingCases()
	var other strings.Builder // a stream beside it, with which nothing is wrong
	for _, c := range cells(open + burst(0.1, 0, 8) + "0.12 < . 1:1 ack 11681 win 1000") {
		fmt.Fprintln(&other, c.text+" port=50000")
	}
	rapid.Check(t, func(t *rapid.T) {
		c := rapid.SampledFrom(cases).Draw(t, "case")
		text := rapid.SampledFrom([]string{c.has, c.not}).Draw(t, "script")
		p := FreeBSD(1000)
		if c.profile != nil {
			p = *c.profile
		}
		x := withStream
		x.NoResend, x.Until = c.noResend, c.until
		want := codesOf(Analyze(play(text), p, x))
		isn := rapid.OneOf(rapid.Uint32(), rapid.Uint32Range(1<<32-20_000, 1<<32-1), rapid.Uint32Range(1<<31-20_000, 1<<31+10))
		s := (&script{guestISN: isn.Draw(t, "guest's ISN"), peerISN: isn.Draw(t, "peer's ISN")}).play(text)
		shift := time.Duration(rapid.Int64Range(0, int64(time.Hour)).Draw(t, "later"))
		events := append(s.events, (&script{guestISN: 1, peerISN: 2}).play(other.String()).events...)
		slices.SortStableFunc(events, func(a, b wire.Event) int { return int(a.At - b.At) })
		for i := range events {
			events[i].N = int64(i)
			events[i].At += shift
			for k := range events[i].Passed {
				events[i].Passed[k].At += shift
			}
		}
		if x.Until > 0 {
			x.Until += shift
		}
		if got := codesOf(Analyze(events, p, x)); !slices.Equal(got, want) {
			t.Fatalf("%v, want %v, of\n%s", got, want, text)
		}
	})
}
