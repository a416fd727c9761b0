package runners

import "fmt"

// Kind is the nature of what a kernel said. The zero value is invalid.
type Kind int

// Kinds. Crashes have one of the first six, or KindHardware or KindReset; the
// others are of what is merely worth knowing.
const (
	_             Kind = iota
	KindFatal          // panic, trap, oops: the kernel gave up
	KindWarning        // a check failed and the kernel went on
	KindLockOrder      // locks taken in the wrong order, or not held
	KindLeak           // memory that nobody will free
	KindMemory         // use after free, no initialization, double free, page tables
	KindHang           // something did not run for too long
	KindNetwork        // limits of the network stack
	KindShortage       // memory or swap ran out: the load's doing as much as the kernel's
	KindHardware       // machine checks
	KindBoot           // how far the boot came
	KindDebugger       // the kernel's debugger
	KindDump           // a crash dump
	KindReset          // the machine starts over or stops
	KindProgram        // a user program's own failure
)

var kindWords = map[Kind]string{
	KindFatal: "fatal", KindWarning: "warning", KindLockOrder: "lock_order", KindLeak: "leak", KindMemory: "memory",
	KindHang: "hang", KindNetwork: "network", KindShortage: "shortage", KindHardware: "hardware", KindBoot: "boot",
	KindDebugger: "debugger", KindDump: "dump", KindReset: "reset", KindProgram: "program",
}

func (k Kind) String() string {
	if w, ok := kindWords[k]; ok {
		return w
	}
	return fmt.Sprintf("invalid kind %d", int(k))
}

// Crash is a panic, trap, hang or lock-order report found on the console.
type Crash struct {
	Title     string // one line, made of the report's own words
	Signature string // hex digest of the title and top frames, stable across boots
	Text      string // the report as printed
	Fatal     bool   // the kernel cannot go on; false for warnings
	// Stall says that the report is about time alone: something did not run for so
	// long. A host that gives the machine no CPU makes a sound kernel say so.
	Stall  bool
	Kind   Kind    // its nature
	Where  string  // file:line that the report names, relative to the source root; empty: none
	Frames []Frame // of the first backtrace, below the functions that report trouble, innermost first
}

// Frame is one line of a backtrace.
type Frame struct {
	Func   string // as printed, without the compiler's suffixes; empty: the kernel had no name
	Offset uint64 // bytes from the function's start
	Addr   uint64 // as printed; 0: not printed
	Module string // loadable module; empty: the kernel itself, or not printed
}
