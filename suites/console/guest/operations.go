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
		OpStorm: func(ctx context.Context, raw json.RawMessage) (any, error) {
			var a StormArgs
			if err := json.Unmarshal(raw, &a); err != nil {
				return nil, fmt.Errorf("arguments: %w", err)
			}
			return brew(ctx, a)
		},
		OpOpen: func(context.Context, json.RawMessage) (any, error) {
			if err := prepare(); err != nil {
				return nil, err
			}
			return count()
		},
	}
}
