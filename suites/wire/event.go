// Package wire is the host's end of a guest's cable: it sees every frame, and
// passes it on, late, twice, changed or not at all, by rule and by seed. What
// crossed it is kept as a trace of events, which the packages below this one judge,
// draw and save. It imports nothing of the project.
//
// Times are since the start of the cable, on the host's monotonic clock, taken at
// the socket.
package wire

import "time"

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
	Rules  []string      // names of the rules that hit it
}

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
