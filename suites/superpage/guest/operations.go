//go:build linux || freebsd

package guest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"github.com/headwatch/headwatch/suites"
)

// Flag is the argument by which the agent, started anew, performs one operation: its
// name follows, arguments are on standard input, and the answer goes to standard output.
const Flag = "-operation"

const (
	maxAnswer  = 1 << 20  // bytes of a process's answer
	maxExcuse  = 16 << 10 // and of what it says beside it
	afterwards = 10 * time.Second
)

// Operations are the suite's operations by name. Those that change memory are performed
// by a process of their own, which is the program itself, started with Flag.
func Operations() map[string]suites.Operation {
	ops := map[string]suites.Operation{
		OpPrepare:  operation(func(context.Context, struct{}) (Prepared, error) { return prepare() }),
		OpCounters: operation(func(context.Context, struct{}) (Counters, error) { return counters() }),
	}
	for name := range inside() {
		ops[name] = func(ctx context.Context, args json.RawMessage) (any, error) { return apart(ctx, name, args) }
	}
	return ops
}

// inside are the operations that a process of its own performs.
func inside() map[string]suites.Operation {
	return map[string]suites.Operation{
		OpPopulate: operation(populate),
		OpStale:    operation(stale),
		OpScript:   operation(script),
		OpRandom:   operation(random),
		OpCycles:   operation(cycles),
	}
}

// operation decodes the arguments of f.
func operation[Args, Result any](f func(context.Context, Args) (Result, error)) suites.Operation {
	return func(ctx context.Context, raw json.RawMessage) (any, error) {
		var args Args
		if len(raw) > 0 {
			if err := json.Unmarshal(raw, &args); err != nil {
				return nil, fmt.Errorf("arguments: %w", err)
			}
		}
		return f(ctx, args)
	}
}

// reply is what a process answers.
type reply struct {
	Result json.RawMessage `json:"result,omitempty"`
	Error  string          `json:"error,omitempty"`
	Errno  int             `json:"errno,omitempty"` // that the error ends with; 0: none
}

// apart has a process of its own perform an operation. It is killed, with its children,
// when ctx is done.
func apart(ctx context.Context, name string, args json.RawMessage) (any, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	var out, said limited
	out.left, said.left = maxAnswer, maxExcuse
	cmd := exec.CommandContext(ctx, self, Flag, name)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(args), &out, &said
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = afterwards
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		text := strings.TrimSpace(said.String())
		first, _, _ := strings.Cut(text, "\n")
		return nil, fmt.Errorf("process of %s: %v: %.300s", name, err, first) // an errno in err would be taken for the kernel's
	}
	var r reply
	if err := json.Unmarshal(out.Bytes(), &r); err != nil {
		return nil, fmt.Errorf("answer of the process of %s: %w", name, err)
	}
	if r.Errno != 0 {
		errno := syscall.Errno(r.Errno)
		return nil, fmt.Errorf("%s: %w", strings.TrimSuffix(r.Error, ": "+errno.Error()), errno)
	}
	if r.Error != "" {
		return nil, errors.New(r.Error)
	}
	return r.Result, nil
}

// limited keeps the beginning of what is written to it.
type limited struct {
	bytes.Buffer
	left int
}

func (l *limited) Write(p []byte) (int, error) {
	n, _ := l.Buffer.Write(p[:min(len(p), l.left)])
	l.left -= n
	return len(p), nil
}

// Perform is the whole life of a process that was started with Flag and a name.
func Perform(ctx context.Context, name string, in io.Reader, out io.Writer) error {
	op, ok := inside()[name]
	if !ok {
		return fmt.Errorf("no operation %q", name)
	}
	args, err := io.ReadAll(io.LimitReader(in, maxAnswer))
	if err != nil {
		return err
	}
	var r reply
	result, err := op(ctx, args)
	if err == nil {
		r.Result, err = json.Marshal(result)
	}
	if err != nil {
		r.Error = err.Error()
		var errno syscall.Errno
		if errors.As(err, &errno) {
			r.Errno = int(errno)
		}
	}
	return json.NewEncoder(out).Encode(r)
}
