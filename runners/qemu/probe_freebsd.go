package qemu

import (
	"context"
	"errors"
)

// proveKVM says why KVM cannot be used.
func (r *Runner) proveKVM(context.Context) error { return errors.New("the host is not Linux") }
