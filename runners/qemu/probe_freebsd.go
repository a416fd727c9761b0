package qemu

import (
	"context"
	"errors"
	"time"
)

// loopTime is not measured on other hosts than Linux.
func (r *Runner) loopTime(context.Context, string, ...string) (time.Duration, error) {
	return 0, errors.New("the host is not Linux")
}

// proveKVM says why KVM cannot be used.
func (r *Runner) proveKVM(context.Context) error { return errors.New("the host is not Linux") }
