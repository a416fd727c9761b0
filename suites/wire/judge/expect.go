package judge

import (
	"bytes"
	"io"
	"time"

	"github.com/headwatch/headwatch/suites/wire"
)

// Expect is what the caller knows of its own traffic. The zero value knows nothing.
type Expect struct {
	NIC   *int          // judge only this one; nil: all of them
	Until time.Duration // the cable was watched until then; 0: until the last event

	// NoResend says that nothing on the wire gives a reason to send anything again:
	// no loss, and no ACK later than a timeout allows. Then any retransmission is
	// needless.
	NoResend bool
	// Sent gives what the guest was told to send on a stream, from its first byte;
	// nil, or nil from it: unknown.
	Sent func(wire.Flow) io.ReaderAt
	// Follow says which streams are judged; nil: all of them.
	Follow func(wire.Flow) bool
	// Off are findings that are not wanted, for a case that provokes them.
	Off []Code
}

// compare says where data, which begins at byte off of the stream, first differs
// from what was to be sent; -1 when it does not.
func compare(r io.ReaderAt, off int64, data []byte) int {
	want := make([]byte, len(data))
	n, _ := r.ReadAt(want, off) // what cannot be read was not to be sent
	if bytes.Equal(want[:n], data) {
		return -1
	}
	for i := range data {
		if i >= n || data[i] != want[i] {
			return i
		}
	}
	return -1
}
