// Package guest is the agent protocol: frames, messages, the host's client and
// the guest's server. Both ends are here so that they can only change together.
// It imports nothing of the project.
//
// # Stream
//
// The two ends share one byte stream, a virtio-serial port or a UART. It is a
// sequence of frames:
//
//	offset size
//	0      4    magic F5 48 57 A7 (F5 never occurs in UTF-8 text)
//	4      1    protocol version
//	5      1    message type
//	6      4    payload length, big-endian, at most MaxPayload
//	10     4    CRC-32C (Castagnoli) of bytes 0–9 and the payload, big-endian
//	14     …    payload, one JSON document or a piece of one
//
// Before the handshake anything may be on the stream (firmware text, the echo
// of a terminal that is not raw yet, the tail of a frame of a session before),
// so both ends look for the magic and skip what is not a frame. After it, a
// byte out of place is an error: a corrupted stream is never quietly mended. The
// one thing that may follow damage, and only in the guest, is the hello request
// of a new session: its host's predecessor may have gone away within a frame.
//
// # Messages
//
// The host sends hello requests with a session id of its own until the agent
// answers with a hello that echoes the id; frames of older sessions can only
// come before that answer. A hello request with a new id ends the session
// before it: that is how the clone of a frozen guest meets its own host. Then
// the host sends requests (an id, an operation, arguments, a timeout) and
// cancels, and the guest sends responses and a heartbeat every second.
//
// # Flow
//
// A guest's channel may drop what its reader has not taken, without a word: on
// FreeBSD a virtio port is a terminal that keeps 23,040 bytes, and a UART's driver
// keeps 384 (docs/freebsd.md). So the agent names a window in its hello, and the
// host never has more than that many bytes on their way. The agent acknowledges
// what it has read with credit, each time that is at least half a window. Hello
// requests and the return of the end marker do not count: nobody gives credit for
// them. Window, credit and pieces belong to a session and begin anew with it.
//
// A request or response whose payload exceeds half a window, less a header, is cut
// into pieces of exactly that size and a last one of the rest. Other frames go
// between the pieces, so neither a cancel nor a heartbeat nor a short call waits
// for a long one: what is urgent waits for one window at most. Each end sends one
// long message at a time. A host that gives up a call sends a drop instead of the
// pieces that are left.
//
// The host reads at all times, so what the guest sends needs no window.
//
// # End
//
// A clean end is asked for: the host requests OpPowerOff, the guest stops its
// operations, flushes its file systems and sends the end marker (bye)
// immediately before it powers off; the host returns the marker, so that the
// guest knows that it got through. A stream that ends in any other way is an
// error.
//
// The guest runs a kernel that may be broken and is not trusted: whatever it
// sends is bounded in size, rate and count, and can end the stream but nothing
// else.
package guest
