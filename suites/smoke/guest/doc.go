// Package guest is the smoke suite's part inside the guest: small operations
// that do one thing and report what they saw. Judging is the host's, in package
// smoke. The types of this file are what goes between the two; they are compiled
// into both ends.
package guest

// Names of the operations.
const (
	OpClock      = "smoke/clock"
	OpCPUs       = "smoke/cpus"
	OpMemory     = "smoke/memory"
	OpFilesystem = "smoke/filesystem"
	OpLoopback   = "smoke/loopback_tcp"
)

// ClockArgs asks for two readings of the clocks with a sleep between them.
type ClockArgs struct {
	SleepS float64 `json:"sleep_s"`
}

// ClockReadings are taken around a sleep. Times are nanoseconds since an epoch
// of the clock's own.
type ClockReadings struct {
	Before Clocks `json:"before"`
	After  Clocks `json:"after"`
	// The largest steps backwards between neighbouring readings, in nanoseconds.
	// Zero: the clock never went back.
	MonotonicBack int64 `json:"monotonic_back_ns"`
	WallBack      int64 `json:"wall_back_ns"`
	Readings      int   `json:"readings"`
}

// Clocks is one reading of both clocks.
type Clocks struct {
	Monotonic int64 `json:"monotonic_ns"`
	Wall      int64 `json:"wall_ns"`
}

// CPUArgs says which CPUs to try: 0 to Count-1.
type CPUArgs struct {
	Count int `json:"count"`
}

// CPUs is what became of each CPU that was tried.
type CPUs struct {
	Online []int    `json:"online"` // what the kernel says, ascending
	Tried  []CPURun `json:"tried"`
}

// CPURun is a thread bound to one CPU.
type CPURun struct {
	CPU     int    `json:"cpu"`
	Refused string `json:"refused,omitempty"` // name of the errno with which the binding was refused
	// Saw is where the thread found itself, time after time; -1 where the kernel
	// has no call for it. Empty when the binding was refused.
	Saw []int `json:"saw,omitempty"`
}

// MemoryArgs sizes the memory check.
type MemoryArgs struct {
	MiB  int    `json:"mib"`
	Seed uint64 `json:"seed"`
}

// Memory is what was read back, from private memory and from shared memory
// through a second mapping.
type Memory struct {
	Private MemoryRead `json:"private"`
	Shared  MemoryRead `json:"shared"`
}

// MemoryRead counts 64-bit words. Offsets are in bytes.
type MemoryRead struct {
	Words       int    `json:"words"`
	Wrong       int    `json:"wrong"`
	FirstOffset int    `json:"first_offset"` // of the first wrong word; 0 when there is none
	FirstWant   uint64 `json:"first_want"`
	FirstGot    uint64 `json:"first_got"`
}

// FilesystemArgs says what to write: Pattern(Seed, Bytes), and to what length the
// file is cut afterwards.
type FilesystemArgs struct {
	Seed     uint64 `json:"seed"`
	Bytes    int    `json:"bytes"`
	Truncate int    `json:"truncate"`
}

// Filesystem is what a file's life looked like. Digests are SHA-256 in hex.
type Filesystem struct {
	Size          int64    `json:"size"` // after the fsync
	Digest        string   `json:"digest"`
	OldName       string   `json:"old_name"` // errno of opening the name before the rename; empty: it still opens
	Names         []string `json:"names"`    // after the rename and the hard link, sorted
	Links         uint64   `json:"links"`    // link count then
	SameFile      bool     `json:"same_file"`
	CutSize       int64    `json:"cut_size"` // after the truncation
	CutDigest     string   `json:"cut_digest"`
	NamesUnlinked []string `json:"names_unlinked"` // after one of the names was unlinked
	LinksUnlinked uint64   `json:"links_unlinked"`
	NamesAfter    []string `json:"names_after"` // after the last one was
}

// The names that the file goes by.
const (
	NameFirst = "first"
	NameMoved = "moved"
	NameLink  = "link"
)

// LoopbackArgs says how much each connection carries. Connection i carries
// Pattern(Seed+2i, Up[i]) to the server and Pattern(Seed+2i+1, Down[i]) back.
type LoopbackArgs struct {
	Family string `json:"family"` // "tcp4" or "tcp6"
	Seed   uint64 `json:"seed"`
	Up     []int  `json:"up"`
	Down   []int  `json:"down"`
	// StallS is how long a connection may make no progress before it counts as
	// stalled, in seconds.
	StallS float64 `json:"stall_s"`
}

// Loopback is what each connection received.
type Loopback struct {
	ServerPort  int          `json:"server_port"`
	Connections []Connection `json:"connections"`
}

// Connection is one connection's outcome, seen from both of its ends.
type Connection struct {
	ClientPort int      `json:"client_port"`
	Up         Received `json:"up"`
	Down       Received `json:"down"`
}

// Received is what one end got. Ended says that the stream was closed in order
// by its other end; Stalled that nothing moved for the time allowed.
type Received struct {
	Bytes   int    `json:"bytes"`
	Digest  string `json:"digest"` // SHA-256 in hex
	Ended   bool   `json:"ended"`
	Stalled bool   `json:"stalled"`
}
