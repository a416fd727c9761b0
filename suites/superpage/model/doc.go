// Package model says what memory must hold: an oracle of contents and permissions of a
// range of pages under random operations, scripts of such operations, their generation,
// and the shrinking of one that shows a fault to a short one, which can be printed as Go
// and as C for whoever mends the kernel.
//
// Nothing here has effects. Whoever performs a script satisfies Machine; the guest's
// agent does so on real memory, with the oracle beside it, and the host shrinks.
package model

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// A range is two large pages of 512 pages of 4 KiB, and so is the object of shared memory
// that may be mapped into it, page for page.
const (
	PageSize = 4096
	Large    = 512       // pages of a large one
	Pages    = 2 * Large // of the range, and of the object
	// MaxThreads is how many threads may perform a script.
	MaxThreads = 16
	// MaxOps bounds a script, and MaxText its text in bytes: it fits a request to a
	// guest that is served over a UART.
	MaxOps  = 400
	MaxText = 12 << 10
)

// Kind is what an operation does. The zero value is invalid.
type Kind int

// The kinds. Each is of Count pages from First on, unless said otherwise.
const (
	_        Kind = iota
	MapAnon       // fresh private memory with Prot, over whatever is there
	MapShm        // the object's same pages, shared, with Prot, over whatever is there
	Unmap         // holes are fine
	Protect       // Prot
	DontNeed      // private memory reads as zeros afterwards on Linux; only a hint on FreeBSD
	Free          // private memory reads as before or as zeros, until it is written
	WillNeed      // maps what is there
	Lock          // mlock
	Unlock        // munlock
	Inherit       // How a child of fork gets it
	Write         // Value, by plain stores
	Read          // by plain loads
	KWrite        // Value, by a system call that writes to memory
	KRead         // by one that reads it
	Fork          // a child reads the pages, then writes Value to them, by system calls, and exits
	Truncate      // the object has Count pages
)

// kinds are the words of scripts.
var kinds = map[Kind]string{
	MapAnon: "anon", MapShm: "shm", Unmap: "unmap", Protect: "protect", DontNeed: "dontneed", Free: "free",
	WillNeed: "willneed", Lock: "lock", Unlock: "unlock", Inherit: "inherit", Write: "write", Read: "read",
	KWrite: "kwrite", KRead: "kread", Fork: "fork", Truncate: "truncate",
}

// String is the kind's word.
func (k Kind) String() string {
	if w, ok := kinds[k]; ok {
		return w
	}
	return fmt.Sprintf("invalid kind %d", int(k))
}

// Prot is what is allowed. The zero value is invalid.
type Prot int

// The permissions.
const (
	_ Prot = iota
	None
	ReadOnly
	ReadWrite
)

// How is what fork does with pages. The zero value is invalid.
type How int

// What a child gets.
const (
	_    How = iota
	Copy     // as fork does without being told
	Keep     // nothing: they are the parent's alone
	Zero     // zeros; private memory only
)

// Op is one operation.
type Op struct {
	Kind   Kind
	Thread int // that performs it, from 0
	First  int // page of the range
	Count  int // pages
	Prot   Prot
	How    How
	Value  uint32 // of the pages written; 0: zeros
}

// Script is operations in their order: each begins when the one before it has ended.
type Script []Op

// argument is what follows the pages in an operation's text.
func (o Op) argument() string {
	switch o.Kind {
	case MapAnon, MapShm, Protect:
		return [...]string{"?", "none", "r", "rw"}[o.Prot]
	case Inherit:
		return [...]string{"?", "copy", "keep", "zero"}[o.How]
	case Write, KWrite, Fork:
		return strconv.FormatUint(uint64(o.Value), 10)
	}
	return ""
}

// String is one line of a script: "1:protect 3+5 r" is thread 1's.
func (o Op) String() string {
	s := fmt.Sprintf("%d:%s %d+%d", o.Thread, o.Kind, o.First, o.Count)
	if a := o.argument(); a != "" {
		s += " " + a
	}
	return s
}

// String is the script in one line, as Parse reads it.
func (s Script) String() string {
	ops := make([]string, len(s))
	for i, o := range s {
		ops[i] = o.String()
	}
	return strings.Join(ops, "; ")
}

// Parse reads a script: operations separated by semicolons or new lines.
func Parse(text string) (Script, error) {
	if len(text) > MaxText {
		return nil, fmt.Errorf("script of %d bytes: at most %d", len(text), MaxText)
	}
	var s Script
	for word := range strings.FieldsFuncSeq(text, func(r rune) bool { return r == ';' || r == '\n' }) {
		if word = strings.TrimSpace(word); word == "" {
			continue
		}
		o, err := parseOp(word)
		if err != nil {
			return nil, fmt.Errorf("operation %d, %q: %w", len(s)+1, word, err)
		}
		if s = append(s, o); len(s) > MaxOps {
			return nil, fmt.Errorf("script of more than %d operations", MaxOps)
		}
	}
	return s, nil
}

var errShape = errors.New("want THREAD:KIND FIRST+COUNT [ARGUMENT]")

func parseOp(word string) (o Op, err error) {
	fields := strings.Fields(word)
	if len(fields) < 2 || len(fields) > 3 {
		return o, errShape
	}
	thread, kind, ok := strings.Cut(fields[0], ":")
	first, count, plus := strings.Cut(fields[1], "+")
	if !ok || !plus {
		return o, errShape
	}
	for k, w := range kinds {
		if w == kind {
			o.Kind = k
		}
	}
	var errs [3]error
	o.Thread, errs[0] = strconv.Atoi(thread)
	o.First, errs[1] = strconv.Atoi(first)
	o.Count, errs[2] = strconv.Atoi(count)
	if err := errors.Join(errs[:]...); err != nil {
		return o, errShape
	}
	argument := ""
	if len(fields) == 3 {
		argument = fields[2]
	}
	switch o.Kind {
	case MapAnon, MapShm, Protect:
		o.Prot = map[string]Prot{"none": None, "r": ReadOnly, "rw": ReadWrite}[argument]
	case Inherit:
		o.How = map[string]How{"copy": Copy, "keep": Keep, "zero": Zero}[argument]
	case Write, KWrite, Fork:
		v, err := strconv.ParseUint(argument, 10, 32)
		if err != nil {
			return o, fmt.Errorf("value %q: want a number below 2^32", argument)
		}
		o.Value = uint32(v)
	default:
		if argument != "" {
			return o, fmt.Errorf("%s takes no argument", o.Kind)
		}
	}
	return o, o.check()
}

// check says what is wrong with an operation by itself.
func (o Op) check() error {
	switch {
	case kinds[o.Kind] == "":
		return errors.New("no such kind of operation")
	case o.Thread < 0 || o.Thread >= MaxThreads:
		return fmt.Errorf("thread %d: want 0 to %d", o.Thread, MaxThreads-1)
	case o.First < 0 || o.Count < 0 || o.First > Pages || o.Count > Pages-o.First:
		return fmt.Errorf("%d pages from %d on: the range has %d", o.Count, o.First, Pages)
	case o.Count == 0 && o.Kind != Truncate, o.First != 0 && o.Kind == Truncate:
		return errors.New("no pages, or a truncation that does not begin at 0")
	}
	switch o.Kind {
	case MapAnon, MapShm, Protect:
		if o.Prot < None || o.Prot > ReadWrite {
			return errors.New("want none, r or rw")
		}
	case Inherit:
		if o.How < Copy || o.How > Zero {
			return errors.New("want copy, keep or zero")
		}
	}
	return nil
}

// Word is what word i of a page with a value holds.
func Word(value uint32, i int) uint64 {
	if value == 0 {
		return 0
	}
	return uint64(value)<<32 | uint64(value*2654435761+uint32(i))
}
