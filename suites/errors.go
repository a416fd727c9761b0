package suites

import (
	"errors"
	"fmt"
)

// failure is a finding about the kernel.
type failure struct{ reason string }

func (f *failure) Error() string { return f.reason }

// skip says why a case cannot run here.
type skip struct{ reason string }

func (s *skip) Error() string { return s.reason }

// Failf returns the error of a case that found the kernel at fault.
func Failf(format string, args ...any) error {
	return &failure{fmt.Sprintf(format, args...)}
}

// Skipf returns the error of a case that cannot run on this machine.
func Skipf(format string, args ...any) error {
	return &skip{fmt.Sprintf(format, args...)}
}

// Classify turns what a case returned into a status and a reason. What nobody
// classified is the rig's fault, never the kernel's.
func Classify(err error) (Status, string) {
	if err == nil {
		return Passed, ""
	}
	if f, ok := errors.AsType[*failure](err); ok {
		return Failed, f.reason
	}
	if s, ok := errors.AsType[*skip](err); ok {
		return Skipped, s.reason
	}
	var refused interface{ KernelRefused() string }
	if errors.As(err, &refused) {
		return Failed, refused.KernelRefused()
	}
	return Broken, err.Error()
}
