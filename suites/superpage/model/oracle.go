package model

import (
	"fmt"
	"slices"
	"strings"
)

// Saw is what one operation did.
type Saw struct {
	// Errno is that of a system call that is no access to a page; empty: none.
	Errno string
	// Pages are the accesses, one for each page, of Read, Write, KRead, KWrite; of Fork
	// the loads of the child and then its stores.
	Pages []Access
}

// Access is what one load or store of a whole page did.
type Access struct {
	Fault bool   // it was refused: a signal, or EFAULT
	Value uint32 // that the page holds, of a load
	// Torn says that no single value explains the page; Word and Got are then its first
	// wrong word, by the value of the page's first one.
	Torn bool
	Word int
	Got  uint64
}

// Machine performs operations. An error is of whoever performs, not of the kernel.
type Machine interface {
	Do(o Op) (Saw, error)
}

// backing of a page of the range.
type backing uint8

const (
	hole backing = iota
	private
	shared
)

// page is one page of the range.
type page struct {
	backing backing
	prot    Prot
	how     How
	locked  bool
	// may are the values that private memory can hold: one, or after Free more. Nil is
	// zero alone.
	may []uint32
	// was are the values that it has held before: what Free may bring back.
	was []uint32
}

// Oracle is what the range and the object hold.
type Oracle struct {
	os    string
	pages [Pages]page
	shm   [Pages]uint32
	size  int // pages of the object
}

// NewOracle is of an empty range, and an object of full size, on "linux" or "freebsd".
func NewOracle(os string) *Oracle { return &Oracle{os: os, size: Pages} }

func (o *Oracle) span(op Op) []page { return o.pages[op.First : op.First+op.Count] }

// Applies says whether the oracle knows what op must do. What it does not know, no
// script may ask: what is an error on one system and none on another, or depends on what
// was loaded before.
func (o *Oracle) Applies(op Op) bool {
	if op.check() != nil {
		return false
	}
	every := func(ok func(i int, p page) bool) bool {
		for i, p := range o.span(op) {
			if !ok(op.First+i, p) {
				return false
			}
		}
		return true
	}
	switch op.Kind {
	case Protect, WillNeed:
		return every(func(_ int, p page) bool { return p.backing != hole })
	case DontNeed, Free: // Linux refuses both for locked pages, and Free for shared ones
		return every(func(_ int, p page) bool {
			return p.backing != hole && !p.locked && (op.Kind == DontNeed || p.backing == private)
		})
	case Lock: // a page that cannot be read, or lies past the object's end, cannot be brought in
		return every(func(i int, p page) bool {
			return p.backing != hole && p.prot != None && (p.backing != shared || i < o.size)
		})
	case Unlock:
		return every(func(_ int, p page) bool { return p.locked })
	case Inherit: // what a child gets of shared memory without being told, has no name on both systems
		return every(func(_ int, p page) bool {
			return p.backing == private || p.backing == shared && op.How == Keep
		})
	}
	return true
}

// Check applies op and says what of saw is wrong; empty: nothing.
func (o *Oracle) Check(op Op, saw Saw) string {
	if saw.Errno != "" {
		return fmt.Sprintf("%s: it must not fail, and did with %s", op, saw.Errno)
	}
	switch op.Kind {
	case Read, KRead:
		return o.loads(op, saw.Pages, o.span(op))
	case Write, KWrite:
		return o.stores(op, saw.Pages, o.span(op))
	case Fork:
		return o.fork(op, saw.Pages)
	case Truncate:
		for i := op.Count; i < o.size; i++ {
			o.shm[i] = 0
		}
		o.size = op.Count
		return ""
	}
	for i := range o.span(op) {
		o.apply(op, &o.pages[op.First+i])
	}
	return ""
}

// apply changes one page by an operation that is no access.
func (o *Oracle) apply(op Op, p *page) {
	switch op.Kind {
	case MapAnon:
		*p = page{backing: private, prot: op.Prot, how: Copy}
	case MapShm:
		*p = page{backing: shared, prot: op.Prot, how: Copy}
	case Unmap:
		*p = page{}
	case Protect:
		p.prot = op.Prot
	case Lock, Unlock:
		p.locked = op.Kind == Lock
	case Inherit:
		p.how = op.How
	case DontNeed:
		if p.backing == private && o.os == "linux" {
			p.may, p.was = nil, nil
		}
	case Free:
		for _, v := range p.was {
			p.may = with(p.may, v)
		}
		p.may = with(p.may, 0)
	}
}

// with adds a value to a set in which nil is zero alone.
func with(set []uint32, v uint32) []uint32 {
	if set == nil {
		set = []uint32{0}
	}
	if !slices.Contains(set, v) {
		set = append(slices.Clip(set), v)
	}
	return set
}

// allowed says whether page i, which is p, may be loaded or stored to.
func (o *Oracle) allowed(i int, p page, store bool) bool {
	need := ReadOnly
	if store {
		need = ReadWrite
	}
	return p.backing != hole && p.prot >= need && (p.backing != shared || i < o.size)
}

// loads judges loads of pages, which are as in span.
func (o *Oracle) loads(op Op, accesses []Access, span []page) string {
	for n := range span {
		i, p := op.First+n, &span[n]
		a, ok := o.access(op, accesses, n, len(span))
		switch allowed := o.allowed(i, *p, false); {
		case !ok:
			return fmt.Sprintf("%s: %d accesses were reported", op, len(accesses))
		case a.Fault && allowed:
			return fmt.Sprintf("%s: page %d cannot be read, and must be", op, i)
		case !a.Fault && !allowed:
			return fmt.Sprintf("%s: page %d was read, and must not be: it is %s", op, i, o.describe(i, *p))
		case a.Fault:
		case a.Torn:
			return fmt.Sprintf("%s: page %d: word %d is %#x, which no value of the page explains; it must hold %s", op, i, a.Word, a.Got, o.holds(i, *p))
		case p.backing == shared && a.Value != o.shm[i], p.backing == private && !slices.Contains(with(p.may, first(p.may)), a.Value):
			return fmt.Sprintf("%s: page %d holds %d, and must hold %s", op, i, a.Value, o.holds(i, *p))
		case p.backing == private && a.Value == 0:
			p.may = nil // what was taken away does not come back
		}
	}
	return ""
}

func first(set []uint32) uint32 {
	if len(set) == 0 {
		return 0
	}
	return set[0]
}

// stores judges stores of op.Value, and remembers those that were to happen.
func (o *Oracle) stores(op Op, accesses []Access, span []page) string {
	for n := range span {
		i, p := op.First+n, &span[n]
		a, ok := o.access(op, accesses, n, len(span))
		switch allowed := o.allowed(i, *p, true); {
		case !ok:
			return fmt.Sprintf("%s: %d accesses were reported", op, len(accesses))
		case a.Fault && allowed:
			return fmt.Sprintf("%s: page %d cannot be written, and must be", op, i)
		case !a.Fault && !allowed:
			return fmt.Sprintf("%s: page %d was written, and must not be: it is %s", op, i, o.describe(i, *p))
		case a.Fault:
		case p.backing == shared:
			o.shm[i] = op.Value
		default:
			for _, v := range p.may {
				p.was = with(p.was, v)
			}
			if len(p.was) > 32 { // enough to explain what Free brings back
				p.was = p.was[len(p.was)-32:]
			}
			p.may = []uint32{op.Value}
		}
	}
	return ""
}

// access is the nth of a list that must have exactly count.
func (o *Oracle) access(op Op, accesses []Access, n, count int) (Access, bool) {
	if len(accesses) != count {
		return Access{}, false
	}
	return accesses[n], true
}

// fork judges what the child saw and did. What it wrote to private memory dies with it.
func (o *Oracle) fork(op Op, accesses []Access) string {
	child := slices.Clone(o.span(op))
	for n := range child {
		p := &child[n]
		p.may, p.was = slices.Clone(p.may), slices.Clone(p.was)
		switch {
		case p.backing == hole:
		case p.how == Keep:
			*p = page{}
		case p.how == Zero:
			p.may = nil
		}
	}
	half := min(op.Count, len(accesses))
	if wrong := o.loads(op, accesses[:half], child); wrong != "" {
		return "in the child, " + wrong
	}
	if wrong := o.stores(op, accesses[half:], child); wrong != "" {
		return "in the child, " + wrong
	}
	return ""
}

// describe says what a page is.
func (o *Oracle) describe(i int, p page) string {
	switch {
	case p.backing == hole:
		return "not mapped"
	case p.backing == shared && i >= o.size:
		return fmt.Sprintf("past the object's end at page %d", o.size)
	case p.prot == None:
		return "without any permission"
	}
	return "read-only"
}

// holds says what a page may hold.
func (o *Oracle) holds(i int, p page) string {
	if p.backing == shared {
		return fmt.Sprint(o.shm[i])
	}
	var words []string
	for _, v := range with(p.may, first(p.may)) {
		words = append(words, fmt.Sprint(v))
	}
	return strings.Join(words, " or ")
}

// Mismatch is where a machine did what it must not.
type Mismatch struct {
	At   int    // the operation of the script, from 0
	What string // one line
}

// Run performs a script with the oracle beside it, until the first mismatch. Operations
// that the oracle does not know are left out.
func Run(os string, m Machine, s Script) (*Mismatch, error) {
	o := NewOracle(os)
	for i, op := range s {
		if !o.Applies(op) {
			continue
		}
		saw, err := m.Do(op)
		if err != nil {
			return nil, fmt.Errorf("operation %d, %s: %w", i+1, op, err)
		}
		if what := o.Check(op, saw); what != "" {
			return &Mismatch{i, what}, nil
		}
	}
	return nil, nil
}
