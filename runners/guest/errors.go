package guest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// Why a stream is over, and why a call has no answer.
var (
	ErrClosed      = errors.New("agent's stream is closed")
	ErrNoEndMarker = errors.New("agent's stream ended without its end marker")
	ErrUnaskedEnd  = errors.New("agent sent the end marker before it was asked to power off")
	ErrFlood       = errors.New("agent sends more than it was asked for")
	ErrHostGone    = errors.New("host closed the stream")
)

// RefusedError says that the guest's kernel refused a system call.
type RefusedError struct {
	Op    string // the operation
	Call  string // what was tried: "connect", "connection 5 of 8: connect"
	Errno string // its name: "EADDRNOTAVAIL"
	Text  string // its meaning
}

func (e *RefusedError) Error() string { return e.Op + ": " + e.KernelRefused() }

// KernelRefused says what the kernel refused, without the operation's name.
func (e *RefusedError) KernelRefused() string {
	return fmt.Sprintf("%s: %s (%s)", e.Call, e.Errno, e.Text)
}

// AgentError says that the agent could not do the operation. It is no evidence
// about the kernel.
type AgentError struct {
	Op   string
	Text string
}

func (e *AgentError) Error() string { return e.Op + ": agent: " + e.Text }

// describe turns an operation's error into what goes over the wire. ctx is the
// operation's: once it is done, an error is the cancellation's and says nothing
// about the kernel.
func describe(ctx context.Context, err error) *wireError {
	var errno syscall.Errno
	if ctx.Err() != nil || !errors.As(err, &errno) {
		return &wireError{Kind: "agent", Text: err.Error()}
	}
	name := unix.ErrnoName(errno)
	if name == "" {
		name = fmt.Sprintf("E%d", int(errno))
	}
	call, whole := strings.CutSuffix(err.Error(), ": "+errno.Error())
	if !whole && call == errno.Error() {
		call = "system call"
	}
	return &wireError{Kind: "kernel", Call: call, Errno: name, Text: errno.Error()}
}

// err is the error of a call whose answer carried e. A refusal that does not
// name its errno is no refusal.
func (e *wireError) err(op string) error {
	if e.Kind == "kernel" && isErrnoName(e.Errno) {
		return &RefusedError{Op: op, Call: clean(e.Call, maxName), Errno: e.Errno, Text: clean(e.Text, maxText)}
	}
	return &AgentError{Op: op, Text: clean(e.Text, maxText)}
}

func isErrnoName(s string) bool {
	if len(s) < 2 || len(s) > 32 || s[0] != 'E' {
		return false
	}
	return strings.Trim(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789") == ""
}
