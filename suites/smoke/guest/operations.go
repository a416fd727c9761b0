//go:build linux || freebsd

package guest

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/headwatch/headwatch/suites"
)

// Operations are the suite's operations by name.
func Operations() map[string]suites.Operation {
	return map[string]suites.Operation{
		OpClock:      operation(clock),
		OpCPUs:       operation(cpus),
		OpMemory:     operation(memory),
		OpFilesystem: operation(filesystem),
		OpLoopback:   operation(loopback),
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
