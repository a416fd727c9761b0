//go:build !linux

package pressure

import (
	"errors"
	"iter"
	"runtime"
)

// Pressure is a plan that is carried out. Its owner ends it with Stop.
type Pressure struct{}

// Cores is on how many cores of the host this process may run.
func Cores() int { return runtime.NumCPU() }

// Apply is for Linux hosts only.
func Apply([]int, iter.Seq[Step]) (*Pressure, error) {
	return nil, errors.New("pressure on virtual CPUs: this host is not Linux")
}

// Stop has nothing to end.
func (*Pressure) Stop() error { return nil }
