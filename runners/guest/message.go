package guest

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode"
)

// OpPowerOff is the operation by which the host asks for the end. The server
// keeps it for itself.
const OpPowerOff = "agent/poweroff"

// Limits on what the other end may say.
const (
	maxOutstanding = 256 // requests of a host without an answer
	// A host may count a cancelled request as gone while its operation still
	// winds down in the guest.
	maxRunning   = 2 * maxOutstanding
	maxText      = 1024
	maxName      = 256
	maxGuestCPUs = 4096
)

// ErrMessage says that a whole frame holds something that the protocol does not
// allow.
var ErrMessage = errors.New("message breaks the protocol")

// Hello is what the agent says of itself and its guest.
type Hello struct {
	Protocol int    `json:"protocol"`
	Session  string `json:"session"` // the host's, echoed
	BootID   string `json:"boot_id"` // new in every boot, equal in the clones of one
	OS       string `json:"os"`      // "linux" or "freebsd"
	Arch     string `json:"arch"`    // as Go names it: "amd64" or "arm64"
	Kernel   string `json:"kernel"`  // release, as uname prints it
	Agent    string `json:"agent"`   // version of the agent
	CPUs     int    `json:"cpus"`    // CPUs online when the agent started
	// Window is how many bytes of the host's may be on their way to the agent: what
	// its channel keeps for it, less 200. 0 is only for Serve: a channel that loses
	// nothing.
	Window int `json:"window"`
}

// check rejects what no honest agent says.
func (h *Hello) check() error {
	if h.Protocol != ProtocolVersion {
		return fmt.Errorf("%w: hello speaks protocol %d, this end %d", ErrFrameVersion, h.Protocol, ProtocolVersion)
	}
	if h.CPUs < 1 || h.CPUs > maxGuestCPUs {
		return fmt.Errorf("%w: hello claims %d CPUs", ErrMessage, h.CPUs)
	}
	if h.Window < minWindow || h.Window > maxWindow {
		return fmt.Errorf("%w: hello claims a window of %d bytes, not %d to %d", ErrMessage, h.Window, minWindow, maxWindow)
	}
	for _, f := range []struct{ name, value string }{
		{"session", h.Session}, {"boot_id", h.BootID}, {"os", h.OS}, {"arch", h.Arch},
		{"kernel", h.Kernel}, {"agent", h.Agent},
	} {
		if f.value == "" || f.value != clean(f.value, maxName) {
			return fmt.Errorf("%w: hello has no usable %s: %q", ErrMessage, f.name, clean(f.value, maxName))
		}
	}
	return nil
}

type helloRequest struct {
	Protocol int    `json:"protocol"`
	Session  string `json:"session"`
}

type request struct {
	ID      uint64          `json:"id"` // from 1, never used twice in a session; in no order on the wire
	Op      string          `json:"op"`
	Args    json.RawMessage `json:"args,omitempty"`
	Timeout float64         `json:"timeout_s,omitempty"` // 0: none
}

type response struct {
	ID     uint64          `json:"id"`
	Result json.RawMessage `json:"result,omitempty"`
	Error  *wireError      `json:"error,omitempty"`
}

// wireError is an operation's error. Kind "kernel" is a system call that the
// guest's kernel refused; kind "agent" anything else.
type wireError struct {
	Kind  string `json:"kind"`
	Call  string `json:"call,omitempty"`  // what was tried: "connect", "connection 5 of 8: connect"
	Errno string `json:"errno,omitempty"` // its name: "EADDRNOTAVAIL"
	Text  string `json:"text"`            // the errno's meaning, or the whole error
}

type heartbeat struct {
	Seq    uint64  `json:"seq"`
	Uptime float64 `json:"uptime_s"` // by the agent's monotonic clock
}

type cancelRequest struct {
	ID uint64 `json:"id"`
}

// credit acknowledges what the guest has read since the one before.
type credit struct {
	Bytes uint32 `json:"bytes"` // headers included
}

// encodeMessage returns the frame of a message.
func encodeMessage(typ frameType, message any) ([]byte, error) {
	payload, err := json.Marshal(message)
	if err != nil {
		return nil, err
	}
	return encodeFrame(typ, payload)
}

func decodeMessage(f frame, message any) error {
	if err := json.Unmarshal(f.payload, message); err != nil {
		return fmt.Errorf("%w: type %d: %w", ErrMessage, f.typ, err)
	}
	return nil
}

// clean makes one line that is safe to show of what the other end wrote:
// at most limit bytes, without control characters or broken UTF-8.
func clean(s string, limit int) string {
	if len(s) > limit {
		s = s[:limit]
	}
	return strings.Map(func(r rune) rune {
		if !unicode.IsGraphic(r) || r == unicode.ReplacementChar {
			return '?'
		}
		return r
	}, strings.ToValidUTF8(s, "?"))
}
