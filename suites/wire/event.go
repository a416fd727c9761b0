// Package wire is the host's end of a guest's cable: it sees every frame, and
// passes it on, late, twice, changed or not at all, by rule and by seed. What
// crossed it is kept as a trace of events, which the packages below this one judge,
// draw and save. It imports nothing of the project.
//
// Times are since the start of the cable, on the host's monotonic clock, taken at
// the socket.
package wire

import (
	"fmt"
	"time"
)

// Direction is where a frame goes. The zero value is invalid.
type Direction int

// The two directions of a cable.
const (
	_ Direction = iota
	FromGuest
	ToGuest
)

func (d Direction) String() string {
	switch d {
	case FromGuest:
		return "from guest"
	case ToGuest:
		return "to guest"
	}
	return "nowhere"
}

// MarshalText gives "from_guest" or "to_guest".
func (d Direction) MarshalText() ([]byte, error) {
	switch d {
	case FromGuest:
		return []byte("from_guest"), nil
	case ToGuest:
		return []byte("to_guest"), nil
	}
	return nil, nil
}

// UnmarshalText reads what MarshalText writes.
func (d *Direction) UnmarshalText(b []byte) error {
	switch string(b) {
	case "from_guest":
		*d = FromGuest
	case "to_guest":
		*d = ToGuest
	case "":
		*d = 0
	default:
		return fmt.Errorf("direction %q: want from_guest or to_guest", b)
	}
	return nil
}

// Event is a frame and what the cable did to it.
//
// A sender is judged by At and Frame of what it sent, whatever became of it; what a
// receiver got, and when, is Passed. So to judge the guest's TCP, take At of events
// FromGuest and Passed of events ToGuest.
type Event struct {
	N      int64 // its place in the trace, from 0
	NIC    int
	Dir    Direction
	At     time.Duration // when it was read from its sender
	Frame  []byte        // as the sender sent it; it may be cut at the trace's snap length
	Length int           // bytes that it had
	Passed []Passed      // empty: it was dropped
	Rules  []string      // names of the rules that hit it; see also Own
	Stream int           // the number of its TCP stream, from 1 in order of appearance; 0: none
	Held   int           // copies that are still under way; 0 once the cable is closed
}

// What the cable itself has to say of a frame stands among Event.Rules behind Own,
// with which no rule's name may begin.
const (
	Own         = "cable: "
	OwnFull     = Own + "queue full"         // of a bottleneck
	OwnSlow     = Own + "receiver too slow"  // it left too much unread
	OwnCrowded  = Own + "too much is held"   // Config.Held
	OwnNobody   = Own + "nobody is there"    // no station, or the guest is gone
	OwnShutdown = Own + "closed while held"  // by Close
	OwnReleased = Own + "released by a hold" // what it waited for came before the limit
)

// Passed is a copy of a frame as it was handed to its receiver.
type Passed struct {
	At    time.Duration
	Frame []byte // as the receiver got it; nil: as it was sent
}

// Dropped says whether the receiver never got it.
func (e *Event) Dropped() bool { return len(e.Passed) == 0 }

// As is the frame that the receiver got with p.
func (e *Event) As(p Passed) []byte {
	if p.Frame != nil {
		return p.Frame
	}
	return e.Frame
}
