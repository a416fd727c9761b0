// Package guest is what the agent does with TCP sockets for a case: it opens them,
// moves bytes through them and says what the kernel answered. The types of this
// file are what goes between host and guest; they are compiled into both ends.
//
// A case wants to see errors: that a connection timed out may be what it is about.
// So what the kernel says of a connection is part of an answer, as the name of an
// errno; only what no case expects is an operation's error.
//
// Sockets have numbers, which are never used twice. Operations on different sockets
// may run at the same time, and on one socket one that sends and one that receives.
package guest

import "encoding/binary"

// Names of the operations.
const (
	OpListen  = "tcp/listen"
	OpConnect = "tcp/connect"
	OpAccept  = "tcp/accept"
	OpSend    = "tcp/send"
	OpReceive = "tcp/receive"
	OpShut    = "tcp/shut"
	OpClose   = "tcp/close"
	OpOption  = "tcp/option"
	OpInfo    = "tcp/info"
	OpRounds  = "tcp/rounds"
	OpServe   = "tcp/serve"
	OpEcho    = "tcp/echo"
)

// Limits of the operations.
const (
	MaxSockets = 4096
	MaxBytes   = 4 << 30 // that one operation moves
	MaxRounds  = 1 << 20
	MaxFile    = 4 << 20 // bytes of SendArgs.File
)

// ListenArgs opens a listening socket.
type ListenArgs struct {
	Network string            `json:"network"` // "tcp4" or "tcp6"
	Addr    string            `json:"addr"`    // "10.77.0.2:80"; port 0: any
	Backlog int               `json:"backlog,omitempty"`
	Options map[string]string `json:"options,omitempty"` // set before; see OptionArgs
}

// Socket is an open one.
type Socket struct {
	ID     int    `json:"id"`
	Local  string `json:"local"`
	Remote string `json:"remote,omitempty"`
	// Errno is why there is none; ID is 0 then. ETIMEDOUT is the kernel's; when
	// TimeoutS was over first it is TimedOut.
	Errno    string `json:"errno,omitempty"`
	TimedOut bool   `json:"timed_out,omitempty"`
	// Duration is how long the kernel took, by the guest's monotonic clock.
	Duration float64 `json:"duration_s"`
}

// ConnectArgs opens a connection.
type ConnectArgs struct {
	Network  string            `json:"network"`
	Addr     string            `json:"addr"`
	Local    string            `json:"local,omitempty"` // empty: the kernel's choice
	Options  map[string]string `json:"options,omitempty"`
	TimeoutS float64           `json:"timeout_s"`
}

// AcceptArgs takes a connection of a listening socket.
type AcceptArgs struct {
	ID       int     `json:"id"`
	TimeoutS float64 `json:"timeout_s"`
}

// SendArgs writes bytes From to From+Bytes of the content of Seed. It returns when
// the kernel has taken them all, has said why not, or has taken nothing for StallS.
type SendArgs struct {
	ID     int     `json:"id"`
	Seed   uint64  `json:"seed"`
	From   int64   `json:"from,omitempty"`
	Bytes  int64   `json:"bytes"`
	Chunk  int     `json:"chunk,omitempty"`   // bytes of a write; 0: 64 KiB
	PauseS float64 `json:"pause_s,omitempty"` // between writes
	StallS float64 `json:"stall_s"`
	Shut   bool    `json:"shut,omitempty"` // half-close after the last byte
	// File has the kernel take the bytes from a file (sendfile(2)), whose memory is the
	// socket's until they are acknowledged; at most MaxFile bytes.
	File bool `json:"file,omitempty"`
}

// ReceiveArgs reads Bytes, or until the other end's half-close for 0, and compares
// them with the content of Seed from byte From on.
type ReceiveArgs struct {
	ID     int     `json:"id"`
	Seed   uint64  `json:"seed"`
	From   int64   `json:"from,omitempty"`
	Bytes  int64   `json:"bytes,omitempty"`
	Chunk  int     `json:"chunk,omitempty"`   // bytes of a read at most; 0: 64 KiB
	PauseS float64 `json:"pause_s,omitempty"` // between reads
	StallS float64 `json:"stall_s"`
}

// Moved is what came of sending or receiving.
type Moved struct {
	Bytes    int64   `json:"bytes"`
	Errno    string  `json:"errno,omitempty"`
	Stalled  bool    `json:"stalled,omitempty"` // nothing moved for StallS
	Ended    bool    `json:"ended,omitempty"`   // the other end half-closed
	Duration float64 `json:"duration_s"`
	// Wrong says that a received byte was not the content's; At is the first one's
	// place in the stream.
	Wrong bool  `json:"wrong,omitempty"`
	At    int64 `json:"at,omitempty"`
}

// IDArgs names a socket.
type IDArgs struct {
	ID int `json:"id"`
}

// CloseArgs closes a socket. Abort resets the connection (RFC 9293, section 3.10.5)
// by SO_LINGER of 0.
type CloseArgs struct {
	ID    int  `json:"id"`
	Abort bool `json:"abort,omitempty"`
}

// Closed is what close(2) answered.
type Closed struct {
	Errno string `json:"errno,omitempty"`
}

// OptionArgs sets options, then reads those of Get. Names are those of the manual
// pages, in small letters, without their prefix; what a kernel does not have is its
// refusal. Numbers and on/off are decimal; congestion and function_blk are names.
//
//	nodelay nopush maxseg congestion function_blk fastopen keepidle keepintvl
//	keepcnt user_timeout  sndbuf rcvbuf reuseaddr keepalive error
//
// md5sig is "ADDRESS KEY": what comes from there, and goes there, is signed (RFC 2385).
type OptionArgs struct {
	ID  int               `json:"id"`
	Set map[string]string `json:"set,omitempty"`
	Get []string          `json:"get,omitempty"`
}

// Options are values by name.
type Options struct {
	Values map[string]string `json:"values"`
}

// Info is struct tcp_info as the kernel gave it; package tcp decodes it.
type Info struct {
	Data []byte `json:"data"`
}

// RoundsArgs opens Count connections one after the other in each of Parallel
// workers, moves Up bytes to the other end and Down bytes from it, and ends each as
// End says: "close" (half-close, read the other end's, close), "first" (the other
// end closes first), "abort" (reset when the bytes have moved).
type RoundsArgs struct {
	Network  string            `json:"network"`
	Addr     string            `json:"addr"`
	Count    int               `json:"count"` // of all workers together
	Parallel int               `json:"parallel,omitempty"`
	Up       int64             `json:"up,omitempty"`
	Down     int64             `json:"down,omitempty"`
	End      string            `json:"end"`
	Options  map[string]string `json:"options,omitempty"`
	StallS   float64           `json:"stall_s"`
}

// ServeArgs takes Rounds.Count connections of a listening socket. Network, Addr and
// Options are not looked at.
type ServeArgs struct {
	ID     int        `json:"id"`
	Rounds RoundsArgs `json:"rounds"`
}

// Rounds is what came of them. Errnos counts what connections ended with.
type Rounds struct {
	Done     int            `json:"done"`
	Stalled  int            `json:"stalled,omitempty"`
	Errnos   map[string]int `json:"errnos,omitempty"`
	Duration float64        `json:"duration_s"`
}

// EchoArgs gives back so many bytes, each as soon as it came.
type EchoArgs struct {
	ID     int     `json:"id"`
	Bytes  int64   `json:"bytes"`
	StallS float64 `json:"stall_s"`
}

// Content writes the content of a seed from byte at on to b. Both ends make it, so
// that none has to be kept: splitmix64 (Steele, Lea, Flood 2014) of the word's place.
func Content(seed uint64, at int64, b []byte) {
	for len(b) > 0 {
		var word [8]byte
		binary.LittleEndian.PutUint64(word[:], mix(seed, uint64(at)/8))
		n := copy(b, word[at%8:])
		b, at = b[n:], at+int64(n)
	}
}

func mix(seed, i uint64) uint64 {
	z := seed + (i+1)*0x9E3779B97F4A7C15
	z = (z ^ z>>30) * 0xBF58476D1CE4E5B9
	z = (z ^ z>>27) * 0x94D049BB133111EB
	return z ^ z>>31
}
