package verdict

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Alert is one series that changed, somewhere in a range of the line.
type Alert struct {
	Series    string // "suite/case metric", or a case
	Target    string
	Host      string
	First     int // places on the line of the oldest
	Last      int // and the newest image that may be the first changed one
	Direction Direction
	Size      float64 // share of the old level, or standard deviations; only for order
	Baseline  bool    // of the pinned baseline image, in which no commit changes anything
}

// HostChange is a change of a rig that somebody recorded: its monitor, accelerator,
// kernel or hardware. Place is that of the first image that ran after it.
type HostChange struct {
	Host  string
	Place int
	What  string // "qemu 7.2 to 8.0"
}

// Cause says what an event is laid to. The zero value is invalid.
type Cause string

// Causes.
const (
	ByCommit Cause = "commit" // something in the range
	ByHost   Cause = "host"   // the rig: no commit is searched for it
)

// Event is what alerts that have one cause are told as.
type Event struct {
	Cause       Cause
	First, Last int      // the places that all of its alerts have in common
	Host        string   // of a host's event
	What        []string // recorded changes of that host in the range
	Alerts      []Alert  // of the baseline too; the largest first
}

// hostShare of a host's series that change at once lay it to the host, when a change
// of the host is recorded there. Half: a commit that slows half of everything would
// show on other hosts as well.
const hostShare = .5

// Events groups alerts. series is how many series each host has.
//
// First come the host's: a baseline image cannot change, so where its series did,
// the host did, and all that changed there at the same time is one event. So it is where a
// host's change is recorded, at least half of its series changed and no other host's
// did. What is left is grouped so that the ranges of a group have a place in common,
// in the fewest groups there can be.
func Events(alerts []Alert, changes []HostChange, series map[string]int) []Event {
	left := slices.Clone(alerts)
	var out []Event
	for {
		e, rest := hostEvent(left, changes, series)
		if e == nil {
			break
		}
		out, left = append(out, *e), rest
	}
	slices.SortStableFunc(left, func(a, b Alert) int { return cmp.Compare(a.Last, b.Last) })
	for len(left) > 0 {
		// Every group must have a place up to the first range's end: take the end.
		in, rest := split(left, func(a Alert) bool { return a.First <= left[0].Last })
		out, left = append(out, newEvent(ByCommit, in)), rest
	}
	slices.SortStableFunc(out, func(a, b Event) int { return cmp.Compare(a.First, b.First) })
	return out
}

// hostEvent finds what one host's change explains; nil when nothing is left that a
// host has done.
func hostEvent(alerts []Alert, changes []HostChange, series map[string]int) (*Event, []Alert) {
	for _, b := range alerts {
		if !b.Baseline {
			continue
		}
		in, rest := split(alerts, func(a Alert) bool { return a.Host == b.Host && a.First <= b.Last && b.First <= a.Last })
		e := newEvent(ByHost, in)
		e.First, e.Last = b.First, b.Last
		return e.of(b.Host, changes), rest
	}
	for _, c := range changes {
		in, rest := split(alerts, func(a Alert) bool { return a.Host == c.Host && a.First <= c.Place && c.Place <= a.Last })
		elsewhere := slices.ContainsFunc(rest, func(a Alert) bool { return a.Host != c.Host && a.First <= c.Place && c.Place <= a.Last })
		if len(in) > 0 && !elsewhere && float64(len(in)) >= hostShare*float64(series[c.Host]) {
			e := newEvent(ByHost, in)
			e.First, e.Last = c.Place, c.Place
			return e.of(c.Host, changes), rest
		}
	}
	return nil, alerts
}

// of names the host of an event and what is recorded of it in the range.
func (e Event) of(host string, changes []HostChange) *Event {
	e.Host = host
	for _, c := range changes {
		if c.Host == host && e.First <= c.Place && c.Place <= e.Last {
			e.What = append(e.What, c.What)
		}
	}
	return &e
}

func split(alerts []Alert, take func(Alert) bool) (in, rest []Alert) {
	for _, a := range alerts {
		if take(a) {
			in = append(in, a)
		} else {
			rest = append(rest, a)
		}
	}
	return in, rest
}

func newEvent(cause Cause, in []Alert) Event {
	e := Event{Cause: cause, First: in[0].First, Last: in[0].Last, Alerts: in}
	for _, a := range in {
		e.First, e.Last = max(e.First, a.First), min(e.Last, a.Last)
	}
	slices.SortStableFunc(e.Alerts, func(a, b Alert) int {
		return cmp.Or(cmp.Compare(b.Size, a.Size), cmp.Compare(a.Series, b.Series))
	})
	return e
}

// eventNames bounds how many series a sentence names.
const eventNames = 3

// String is the event in a sentence, with places where the caller has no hashes.
func (e Event) String() string {
	n := map[Direction]int{}
	var names []string
	for _, a := range e.Alerts {
		n[a.Direction]++
		if name := a.Series; !slices.Contains(names, name) && len(names) < eventNames {
			names = append(names, name)
		}
	}
	var how []string
	for _, d := range []Direction{Worse, Better, Changed} {
		if n[d] > 0 {
			how = append(how, fmt.Sprintf("%d %s", n[d], d))
		}
	}
	text := fmt.Sprintf("%d to %d: %s (%s", e.First, e.Last, strings.Join(how, ", "), strings.Join(names, ", "))
	if len(e.Alerts) > len(names) {
		text += ", …"
	}
	text += ")"
	if e.Cause == ByHost {
		text += fmt.Sprintf(": host %s changed", e.Host)
		if len(e.What) > 0 {
			text += ": " + strings.Join(e.What, ", ")
		}
	}
	return text
}
