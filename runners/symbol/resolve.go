package symbol

import (
	"cmp"
	"fmt"
	"slices"
)

// Resolve tells what is off bytes after the start of function fn: the frames that
// were inlined there, innermost first, and last the function itself. For a return
// address ask for the byte before it, which is in the call.
func (t *Table) Resolve(fn string, off uint64) ([]Frame, error) {
	return t.resolve(fn, off, 0)
}

// resolve is Resolve. A name that several functions have is told apart by the
// address that was printed, at, unless that is 0.
func (t *Table) resolve(fn string, off, at uint64) ([]Frame, error) {
	var places []uint64
	for _, s := range t.named(fn) {
		pc := s.value + off
		if (s.size == 0 || off < s.size) && !slices.Contains(places, pc) {
			places = append(places, pc)
		}
	}
	if slices.Contains(places, at) {
		places = []uint64{at}
	}
	if len(places) == 0 {
		return nil, fmt.Errorf("%s+%#x: %w %s", fn, off, ErrUnknown, t.path)
	}
	first, err := t.ResolveAddr(places[0])
	if err != nil {
		return nil, err
	}
	for _, pc := range places[1:] {
		if other, err := t.ResolveAddr(pc); err != nil || !slices.Equal(first, other) {
			return nil, fmt.Errorf("%s+%#x: %w in %s", fn, off, ErrAmbiguous, t.path)
		}
	}
	return first, nil
}

// named returns the symbols of a name.
func (t *Table) named(fn string) []symbol {
	i, ok := slices.BinarySearchFunc(t.names, fn, func(n int32, fn string) int { return cmp.Compare(t.syms[n].name, fn) })
	var out []symbol
	for ; ok && i < len(t.names) && t.syms[t.names[i]].name == fn; i++ {
		out = append(out, t.syms[t.names[i]])
	}
	return out
}

// ResolveAddr tells what is at an address of the kernel as it was linked. An
// address in a function without debug information, an assembler's, gives its name
// alone.
func (t *Table) ResolveAddr(addr uint64) (frames []Frame, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.dwarf == nil {
		return nil, fmt.Errorf("debug file %s: closed", t.path)
	}
	err = guard(func() error {
		frames, err = t.frames(addr)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("debug file %s: %w", t.path, err)
	}
	if len(frames) > 0 {
		return frames, nil
	}
	if name := t.around(addr); name != "" {
		return []Frame{{Func: name}}, nil
	}
	return nil, fmt.Errorf("address %#x: %w %s", addr, ErrUnknown, t.path)
}

// around returns the name of the symbol that covers an address. An assembler's
// have no size: they go on to the next one.
func (t *Table) around(addr uint64) string {
	i, _ := slices.BinarySearchFunc(t.syms, addr, func(s symbol, addr uint64) int {
		if s.value <= addr {
			return -1
		}
		return 1
	})
	if i == 0 || t.dwarf == nil {
		return ""
	}
	if s := t.syms[i-1]; s.size == 0 && addr-s.value < maxUnsized || addr-s.value < s.size {
		return s.name
	}
	return ""
}

// maxUnsized bounds how long a function without a size can be, in bytes.
const maxUnsized = 4096
