// Package guest is what the superpage suite does inside a guest: it maps memory, writes it
// and takes it away again, on raw addresses far from the agent's own memory, and says what
// it saw. The types of this file are what goes between host and guest; they are compiled
// into both ends.
//
// All but the operations that only look are done by a process of their own, so that what
// they leave behind is the kernel's, and so that exit, too, has large pages to take apart.
package guest

// Names of the operations.
const (
	OpPrepare  = "superpage/prepare"
	OpCounters = "superpage/counters"
	OpPopulate = "superpage/populate"
	OpStale    = "superpage/stale"
	OpScript   = "superpage/script"
	OpRandom   = "superpage/random"
	OpCycles   = "superpage/cycles"
)

// Faults that operations seed when told to: what the kernel would have done wrong, done
// at the system-call boundary. They prove that cases see it.
const (
	FaultNeverLarge = "never_large" // memory is mapped so that no large page can hold it
	FaultStale      = "stale"       // a permission of one page is not taken away
	FaultLate       = "late"        // it is, 5 ms after the call has returned
	FaultWrongByte  = "wrong_byte"  // taking a part away changes a byte beside it
	FaultChild      = "child"       // what a child writes, its parent sees
	FaultLost       = "lost"        // taking a part away takes one page too many
	FaultLeak       = "leak"        // each cycle leaves a page behind, in a page table of its own
)

// Kinds of memory.
const (
	Anon   = "anon"   // private, mapped by the kernel's choice, aligned for large pages
	Shared = "shared" // an object of shared memory, filled by system calls and then mapped
)

// Prepared is what OpPrepare found and set: on Linux large pages are wanted everywhere,
// and no daemon makes them behind a case's back.
type Prepared struct {
	Page    int  `json:"page"`  // bytes
	Large   int  `json:"large"` // bytes of a large one; 0: the kernel has none
	Enabled bool `json:"enabled"`
	CPUs    int  `json:"cpus"`
}

// Counters are what the kernel counts of memory, by its own names.
type Counters map[string]int64

// PopulateArgs maps memory, writes it, and looks at it.
type PopulateArgs struct {
	Kind  string `json:"kind"`
	MiB   int    `json:"mib"` // 2 to 1024
	Seed  uint64 `json:"seed"`
	Fault string `json:"fault,omitempty"`
}

// Populated is what became of it. Times are of the guest's clock.
type Populated struct {
	LargePages int      `json:"large_pages"` // of the range, that are mapped by large pages
	Of         int      `json:"of"`
	FillS      float64  `json:"fill_s"` // writing one word of each page, or for Shared mapping and reading it
	Wrong      int      `json:"wrong"`  // words that do not hold what was written
	FirstWrong int      `json:"first_wrong,omitempty"`
	Before     Counters `json:"before"`
	Filled     Counters `json:"filled"`     // when it was filled
	Parted     Counters `json:"parted"`     // when one page of each large one was made read-only
	PartLarge  int      `json:"part_large"` // still mapped by large pages then
	Whole      int      `json:"whole"`      // mapped by large pages when all could be written again and was
	After      Counters `json:"after"`      // when it was unmapped
}

// StaleArgs takes something away from large pages, in the ways named, Rounds times each,
// while threads on the other CPUs use it.
type StaleArgs struct {
	Ways   []string `json:"ways"`
	Rounds int      `json:"rounds"` // 1 to 10000
	Probes int      `json:"probes"` // of each thread after each call returned; 1 to 100000
	Seed   uint64   `json:"seed"`
	Fault  string   `json:"fault,omitempty"`
}

// Ways of taking something away.
const (
	WayReadOnly  = "protect_read" // mprotect(PROT_READ) of all
	WayNone      = "protect_none"
	WayPart      = "protect_part" // mprotect(PROT_READ) of some pages: the others stay
	WayUnmap     = "unmap"
	WayUnmapPart = "unmap_part"
	WayReplace   = "replace"  // mmap(MAP_FIXED) of fresh memory over it
	WayTruncate  = "truncate" // of the object that is mapped
	WayDontNeed  = "dontneed" // Linux: zeros from then on
)

// Ways lists them.
var Ways = []string{WayReadOnly, WayNone, WayPart, WayUnmap, WayUnmapPart, WayReplace, WayTruncate, WayDontNeed}

// Stale is what the threads saw, by way.
type Stale struct {
	Ways []StaleWay `json:"ways"`
}

// StaleWay is what they saw of one way.
type StaleWay struct {
	Way    string  `json:"way"`
	Rounds int     `json:"rounds"`
	Large  float64 `json:"large"`  // share of the pages that large ones mapped when they were taken away
	Probes int64   `json:"probes"` // that began after a call had returned, of what it took away
	Denied int64   `json:"denied"` // of these
	// Hits are probes that did what the call had forbidden: at most MaxHits.
	Hits  []Hit   `json:"hits,omitempty"`
	TookS float64 `json:"took_s"`
}

// MaxHits bounds the hits that are told of one way.
const MaxHits = 8

// Hit is one wrong probe.
type Hit struct {
	CPU     int     `json:"cpu"`
	Caller  int     `json:"caller"` // CPU of the thread that made the call
	Page    int     `json:"page"`
	Addr    uint64  `json:"addr"`
	Probe   string  `json:"probe"`    // load, store, write(2) from it, read(2) into it
	SinceUS float64 `json:"since_us"` // since the call returned
	// Lost says that the probe failed on a page that nothing was taken from.
	Lost bool   `json:"lost,omitempty"`
	Got  uint64 `json:"got,omitempty"` // word that a load should not have seen
}

// ScriptArgs performs one script of package model, Times times.
type ScriptArgs struct {
	Script  string `json:"script"`
	Times   int    `json:"times"` // 1 to 1000
	Fault   string `json:"fault,omitempty"`
	Workers int    `json:"workers,omitempty"` // at once, each in a range of its own; 0: one
}

// RandomArgs draws scripts and performs them, until one shows a fault.
type RandomArgs struct {
	Seed    uint64  `json:"seed"`
	LimitS  float64 `json:"limit_s"` // at most 7200
	Scripts int     `json:"scripts"` // of each worker, at most; 0: no bound
	Ops     int     `json:"ops"`     // of a script, 1 to 300
	Workers int     `json:"workers"` // at once, in neighbouring ranges; 1 to 16
	Threads int     `json:"threads"` // of each worker; 1 to 16
	Forks   bool    `json:"forks,omitempty"`
	Fault   string  `json:"fault,omitempty"`
}

// Random is what was done. Mismatch is nil when all was as it must be.
type Random struct {
	Scripts  int64     `json:"scripts"`
	Ops      int64     `json:"ops"`
	Pages    int64     `json:"pages"`     // accesses of pages that were checked
	BusyS    float64   `json:"busy_s"`    // of all workers, in the operations themselves
	ElapsedS float64   `json:"elapsed_s"` // of all workers, with drawing and judging
	Large    float64   `json:"large"`     // share mapped by large pages, where scripts have filled them
	Mismatch *Mismatch `json:"mismatch,omitempty"`
}

// Mismatch is where memory was not as it must be.
type Mismatch struct {
	Script string `json:"script"`
	At     int    `json:"at"` // operation of it, from 0
	What   string `json:"what"`
	Time   int    `json:"time"` // of the script, from 0
}

// CyclesArgs makes large pages and takes them away.
type CyclesArgs struct {
	Count   int    `json:"count"`   // 1 to 1000000
	Samples int    `json:"samples"` // 2 to 64, evenly over the cycles
	Fault   string `json:"fault,omitempty"`
}

// Cycles is what became of them.
type Cycles struct {
	Samples []CycleSample `json:"samples"` // the first before any cycle
	Large   float64       `json:"large"`   // share mapped by large pages, of what was filled
	Wrong   int           `json:"wrong"`   // words that were not as written
	TookS   float64       `json:"took_s"`
}

// CycleSample is what was in use when so many cycles were done.
type CycleSample struct {
	Cycles   int      `json:"cycles"`
	RSS      int64    `json:"rss"` // bytes of the process
	Counters Counters `json:"counters"`
}
