package tcp

import "time"

// path is a slow link with a sender before it.
type path struct {
	rate   int64 // bit/s, of whole frames
	rtt    time.Duration
	mss    int // bytes of data in a full segment
	head   int // bytes of headers of a frame
	first  int // segments that may be sent before any is acknowledged (RFC 6928)
	window int // segments of the receiver's window
}

// completion is how long so many bytes take from the SYN to the arrival of the last
// one, when nothing is lost, each segment is acknowledged, slow start opens the window
// by a segment for each (RFC 5681, section 3.1) up to the receiver's, and neither end
// takes any time.
func (p path) completion(bytes int64) time.Duration {
	segments := int((bytes + int64(p.mss) - 1) / int64(p.mss))
	acked := make([]time.Duration, segments) // when the acknowledgement reaches the sender
	oneWay := p.rtt / 2
	free := time.Duration(0) // when the link is
	known, arrived := 0, time.Duration(0)
	for i := range segments {
		for i >= known+min(p.first+known, p.window) {
			known++
		}
		sent := 2*p.onLink(p.head) + p.rtt // the handshake
		if known > 0 {
			sent = acked[known-1]
		}
		data := min(int64(p.mss), bytes-int64(i)*int64(p.mss))
		free = max(free, sent) + p.onLink(p.head+int(data))
		arrived = free + oneWay
		acked[i] = arrived + p.onLink(p.head) + oneWay
	}
	return arrived
}

// onLink is how long so many bytes occupy the link.
func (p path) onLink(bytes int) time.Duration {
	return time.Duration(int64(bytes) * 8 * int64(time.Second) / p.rate)
}
