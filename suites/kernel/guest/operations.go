//go:build linux || freebsd

package guest

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/headwatch/headwatch/suites"
)

// Operations are the kernel's operations by name. Each call makes a set with a
// memory of its own for readings that are fetched in pieces.
func Operations() map[string]suites.Operation {
	s := newShelf(pieceSize)
	return map[string]suites.Operation{
		OpSysctl: operation(func(ctx context.Context, a NameArgs) (Reading, error) {
			return s.reading(readSysctl(ctx, a.Name))
		}),
		OpFile: operation(func(ctx context.Context, a NameArgs) (Reading, error) {
			return s.reading(readFile(ctx, a.Name))
		}),
		OpPCBList: operation(func(ctx context.Context, _ struct{}) (Reading, error) {
			return s.reading(readPCBs(ctx))
		}),
		OpRest:         operation(func(_ context.Context, a RestArgs) (Reading, error) { return s.rest(a.Rest) }),
		OpSysctlSet:    operation(setSysctl),
		OpSysctls:      operation(sysctls),
		OpModules:      operation(func(context.Context, struct{}) ([]Module, error) { return modules() }),
		OpModuleLoad:   operation(loadModule),
		OpModuleUnload: operation(unloadModule),
		OpInterfaces:   operation(interfaces),
		OpInterface:    operation(setInterface),
		OpAddress:      operation(setAddress),
		OpRoute:        operation(setRoute),
		OpNeighbor:     operation(setNeighbor),
		OpExec:         operation(execute),
	}
}

// done is the answer of operations that have nothing to say.
type done struct{}

// operation decodes the arguments of f; none are those of the zero value.
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

// seconds is a duration from the host's number, at most a week: a float holds
// more than a duration.
func seconds(s float64) time.Duration {
	const week = 7 * 24 * 3600
	return time.Duration(min(s, week) * float64(time.Second))
}
