package wire

import "time"

// TraceOptions bound what is kept of the frames. Zero fields take the defaults.
type TraceOptions struct {
	// Bytes of memory, about; default 64 MiB. The first events are kept. Those that do
	// not fit go to the sink only, and are counted in Trace.Left.
	Bytes int64
	Snap  int // bytes kept of each frame; default: all
	Sink  Sink
}

// Sink takes events for good, a capture file for instance. Save is called from one
// goroutine of the cable, in the order in which events came to their end, which N
// tells from the order in which they came. It must not change the event.
type Sink interface{ Save(e *Event) error }

// Trace is what crossed a cable.
type Trace struct {
	Start  time.Time // when the cable was laid; Event.At counts from here
	Events []Event   // in the order in which they came
	Frames int64     // that came in all
	Left   int64     // events that are not in Events, for want of memory
	// Unsaved are events that the sink did not get: it was too slow, or had failed.
	Unsaved int64
}

const (
	defaultTrace = 64 << 20
	maxRipe      = 64 << 20 // bytes that wait for the sink
	eventCost    = 256      // bytes of an event beside its frame, about
	eventPiece   = 256      // events that are allocated at once
)

// trace keeps events. It is guarded by the cable's lock.
type trace struct {
	options TraceOptions
	events  []*Event
	frames  int64
	left    int64
	bytes   int64

	ripe      []*Event // for the sink
	ripeBytes int64
	unsaved   int64
	wake      func() // there is something ripe

	blank []Event
	slots []Passed
	arena arena // of cut frames
}

func (t *trace) cut(frame []byte) []byte {
	if n := t.options.Snap; n > 0 && len(frame) > n {
		return t.arena.copy(frame[:n])
	}
	return frame
}

func (t *trace) add(at time.Duration, l lane, frame []byte) *Event {
	if len(t.blank) == 0 {
		t.blank, t.slots = make([]Event, eventPiece), make([]Passed, eventPiece)
	}
	e := &t.blank[0]
	*e = Event{N: t.frames, NIC: l.nic, Dir: l.dir, At: at, Frame: t.cut(frame), Length: len(frame), Passed: t.slots[0:0:1]}
	t.blank, t.slots = t.blank[1:], t.slots[1:]
	t.frames++
	if cost := int64(len(e.Frame)) + eventCost; t.bytes+cost <= t.options.Bytes {
		t.bytes += cost
		t.events = append(t.events, e)
	} else {
		t.left++
	}
	return e
}

// pass notes a copy.
func (t *trace) pass(e *Event, it *item, at time.Duration) {
	p := Passed{At: at}
	if it.as != nil {
		p.Frame = t.cut(it.as)
		t.bytes += int64(len(p.Frame))
	}
	e.Passed = append(e.Passed, p)
}

// finish is called once, when nothing of e is under way.
func (t *trace) finish(e *Event) {
	if t.options.Sink == nil {
		return
	}
	cost := int64(len(e.Frame)) + eventCost
	if t.ripeBytes+cost > maxRipe {
		t.unsaved++
		return
	}
	t.ripeBytes += cost
	t.ripe = append(t.ripe, e)
	t.wake()
}

// forget gives the memory back.
func (t *trace) forget() { t.events, t.bytes = nil, 0 }

// snapshot copies what may still change.
func (t *trace) snapshot(start time.Time) *Trace {
	s := &Trace{Start: start, Events: make([]Event, len(t.events)), Frames: t.frames, Left: t.left, Unsaved: t.unsaved}
	for i, e := range t.events {
		s.Events[i] = *e
		s.Events[i].Passed = e.Passed[:len(e.Passed):len(e.Passed)]
	}
	return s
}
