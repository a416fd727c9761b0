// Package guest holds races with a seeded fault, for measuring whether pressure
// on virtual CPUs brings such faults to light sooner. They run inside the agent,
// on two threads bound to a CPU each. No window is longer than a few
// instructions, and nothing sleeps in one.
package guest

// OpFind runs a race until its fault shows or the time is over.
const OpFind = "race/find"

// FindArgs is what OpFind is asked.
type FindArgs struct {
	Race  string  `json:"race"`    // a name of Races
	Seed  uint64  `json:"seed"`    // of the work between the windows
	Limit float64 `json:"limit_s"` // at most 600
	Pace  [2]int  `json:"pace"`    // 0 to this many steps of work between a thread's operations
}

// Found is what came of it.
type Found struct {
	Found  bool    `json:"found"`
	After  float64 `json:"after_s"` // until it was found, or all of the time; by the guest's clock
	Rounds uint64  `json:"rounds"`  // operations of the first thread
}

// Shape is a kind of race.
type Shape struct {
	Name    string
	Summary string
	Pace    [2]int // that shows the fault after seconds on two virtual CPUs under emulation
}

// Races are the shapes that there are.
var Races = []Shape{
	{"update", "two threads add to a counter by load and store", [2]int{20_000, 20_000}},
	{"stack", "a lock-free stack takes a head that came back for one that never went", [2]int{2000, 4000}},
	{"retire", "a reader counts itself in after it has taken a pointer that is being retired", [2]int{10_000, 5000}},
}
