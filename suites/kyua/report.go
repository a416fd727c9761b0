package kyua

import (
	"errors"
	"fmt"
	"time"

	"github.com/headwatch/headwatch/suites"
)

// ErrUnfinished is a results file of a run that did not come to its end. kyua
// writes everything in one transaction, so there is nothing in it.
var ErrUnfinished = errors.New("the run did not finish: there are no results")

// Report is what a results file says. Times are by the guest's clock.
type Report struct {
	Dir   string            // the folder in which kyua was started
	Env   map[string]string // the environment in which kyua was started
	Cases []Case            // in the order in which they were started
}

// Case is one test case and its result.
type Case struct {
	Program   string // path below the suite's root
	Name      string // of the case in its program
	Suite     string // the test suite that the Kyuafile names: "FreeBSD"
	Interface string // "atf", "plain", "tap", "googletest"
	Status    suites.Status
	Reason    string // kyua's; empty for passed
	Began     time.Time
	Duration  time.Duration // never negative, though a test may set the clock back
	// What the test printed. Only for what failed or broke.
	Stdout, Stderr Output
}

// ID is the case's name as kyua writes it.
func (c Case) ID() string { return c.Program + ":" + c.Name }

// Output is a stream that a test wrote, cut in the middle to a limit.
type Output struct {
	Text  string // valid UTF-8
	Bytes int64  // what the test wrote; 0: nothing
}

// Limits bound what is read of a results file, which comes from a guest. Zero
// means the default.
type Limits struct {
	FileBytes   int64 // size of the file; 256 MiB
	Cases       int   // 100,000; FreeBSD has about 10,000
	OutputBytes int   // of each stream that is kept; 16 KiB
	TotalBytes  int   // of all streams; 64 MiB. Streams after that are empty.
}

func (l Limits) withDefaults() Limits {
	for _, n := range []struct {
		value *int
		usual int
	}{{&l.Cases, 100_000}, {&l.OutputBytes, 16 << 10}, {&l.TotalBytes, 64 << 20}} {
		if *n.value <= 0 {
			*n.value = n.usual
		}
	}
	if l.FileBytes <= 0 {
		l.FileBytes = 256 << 20
	}
	return l
}

// cutNote stands where a stream was cut.
func cutNote(bytes int64) string { return fmt.Sprintf("\n[%d bytes left out]\n", bytes) }
