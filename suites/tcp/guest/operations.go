//go:build linux || freebsd

package guest

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/headwatch/headwatch/suites"
)

// Operations are the suite's operations by name. Each call makes a set with sockets
// of its own.
func Operations() map[string]suites.Operation {
	t := &table{sockets: map[int]any{}}
	return map[string]suites.Operation{
		OpListen:  operation(t.listen),
		OpConnect: operation(t.connect),
		OpAccept:  operation(t.accept),
		OpSend:    operation(t.send),
		OpReceive: operation(t.receive),
		OpShut:    operation(t.shut),
		OpClose:   operation(t.close),
		OpOption:  operation(t.option),
		OpInfo:    operation(t.info),
		OpRounds:  operation(rounds),
		OpServe:   operation(t.serve),
		OpEcho:    operation(t.echo),
	}
}

// operation decodes the arguments of f.
func operation[Args, Result any](f func(context.Context, Args) (Result, error)) suites.Operation {
	return func(ctx context.Context, raw json.RawMessage) (any, error) {
		var args Args
		if err := json.Unmarshal(raw, &args); err != nil {
			return nil, fmt.Errorf("arguments: %w", err)
		}
		return f(ctx, args)
	}
}
