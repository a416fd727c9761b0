package wire

// maxStreams bounds the connections that are told apart; later ones have number 0.
const maxStreams = 1 << 16

// Streams tells TCP streams apart and knows what each side has sent. Connections
// have numbers from 1 in order of first appearance; one that begins anew between the
// same addresses and ports after its end gets a new one.
type Streams struct {
	byFlow map[streamKey]*stream
	n      int
}

type streamKey struct {
	nic  int
	flow Flow
}

type stream struct {
	number int
	ended  bool
	sides  [2]side // by FromGuest, ToGuest
}

// side is what one end has sent.
type side struct {
	known    bool
	base     Seq   // of byte 0, which is the one behind the SYN
	next     int64 // behind the highest byte
	spans    spans
	segments int // with new data
}

// Place is where a segment lies in its stream.
type Place struct {
	Stream   int   // its number; 0: it is none's
	From, To int64 // of the sequence space, SYN and FIN included; byte 0 is the one behind the SYN
	Data     Range // of the bytes; To is 0: there are none
	Segment  int   // among those with new data, from 1; 0: nothing is new
	spans    spans
}

// Transmissions says how often the byte of r that was sent most often was sent so
// far; of the whole segment's sequence space when r is zero.
func (p *Place) Transmissions(r Range) int {
	from, to := p.From, p.To
	if r != (Range{}) {
		from = max(from, r.From)
		if r.To > 0 {
			to = min(to, r.To)
		}
	}
	if from >= to {
		return 0
	}
	return p.spans.most(from, to)
}

// See takes account of a packet.
func (s *Streams) See(nic int, dir Direction, p *Packet) Place {
	if !p.IsTCP || dir != FromGuest && dir != ToGuest {
		return Place{}
	}
	st := s.of(streamKey{nic, p.Flow(dir)}, dir, &p.TCP)
	if st == nil {
		return Place{}
	}
	if p.TCP.Flags&(RST|FIN) != 0 {
		st.ended = true
	}
	return st.sides[dir-FromGuest].see(&p.TCP, st.number)
}

func (s *Streams) of(key streamKey, dir Direction, t *Segment) *stream {
	st := s.byFlow[key]
	if st != nil {
		side := &st.sides[dir-FromGuest]
		again := st.ended && t.Flags.Has(SYN) && t.Flags&(ACK|RST) == 0 && side.known && t.Seq+1 != side.base
		if !again {
			return st
		}
	}
	if s.n >= maxStreams {
		return nil
	}
	if s.byFlow == nil {
		s.byFlow = map[streamKey]*stream{}
	}
	s.n++
	st = &stream{number: s.n}
	s.byFlow[key] = st
	return st
}

// far is a distance that no sender's window spans: what lies farther is no part of
// the stream.
const far = 1 << 30

func (d *side) see(t *Segment, number int) Place {
	place := Place{Stream: number}
	if t.Flags.Has(RST) { // its number is the receiver's wish, and it has no data
		return place
	}
	first := t.Seq
	if t.Flags.Has(SYN) {
		first++
	}
	if !d.known {
		d.known, d.base = true, first
	}
	at := d.next + int64(first.From(d.base+Seq(d.next)))
	if at-d.next > far || d.next-at > far {
		return place
	}
	place.From, place.To = at, at+int64(t.Len())
	if t.Flags.Has(SYN) {
		place.From, place.To = at-1, place.To-1
	}
	if n := len(t.Payload); n > 0 {
		place.Data = Range{at, at + int64(n)}
		if d.spans.add(at, at+int64(n)) {
			d.segments++
			place.Segment = d.segments
		}
	}
	if t.Flags.Has(SYN) {
		d.spans.add(at-1, at)
	}
	if t.Flags.Has(FIN) {
		d.spans.add(place.To-1, place.To)
	}
	d.next = max(d.next, place.To)
	place.spans = d.spans
	return place
}
