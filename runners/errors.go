package runners

import (
	"errors"
	"fmt"
)

// ErrNoImage is wrapped by what Builder.Open returns for an image that is not
// stored (any more). Building it again brings it back.
var ErrNoImage = errors.New("not in the image store")

// BuildError says that the source does not build: the commit is bad for the
// case "build" and untestable for every other.
type BuildError struct {
	Reason      string // the first error, with its file and line
	Incremental bool   // objects of earlier builds were used: a clean build may say otherwise
}

func (e *BuildError) Error() string { return e.Reason }

// UnavailableError says that what is to be built cannot be had for this commit,
// and can for others: its artifacts were not published (yet). The commit is
// untestable for every case, and tried once more at each pass.
type UnavailableError struct {
	Reason string // what is missing, and where
}

func (e *UnavailableError) Error() string { return e.Reason }

// BootError says that the kernel did not reach the agent. The commit is bad for
// the case "boot" and untestable for every other.
type BootError struct {
	Title  string // what the console showed: a crash's title, or where boot stopped
	Reason string // what was waited for, and how long
	// Panicked says that the kernel panicked or the guest ended by itself, and not
	// that the agent was waited for in vain.
	Panicked bool
}

func (e *BootError) Error() string { return fmt.Sprintf("%s: %s", e.Title, e.Reason) }

// InfraError is a fault of the rig. Op says what was being done, Hint what the
// user can do about it.
type InfraError struct {
	Op   string
	Err  error
	Hint string
}

func (e *InfraError) Error() string {
	if e.Hint == "" {
		return fmt.Sprintf("%s: %v", e.Op, e.Err)
	}
	return fmt.Sprintf("%s: %v; %s", e.Op, e.Err, e.Hint)
}

func (e *InfraError) Unwrap() error { return e.Err }
