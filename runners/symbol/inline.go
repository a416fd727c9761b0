package symbol

import (
	"debug/dwarf"
	"errors"
	"fmt"
	"slices"
)

// unit is what was compiled together, as far as questions need it.
type unit struct {
	entry  *dwarf.Entry
	folder string
	code   []code
}

// code is a function, or one that was inlined into it.
type code struct {
	ranges [][2]uint64
	entry  dwarf.Offset // says its name, or where the name is said
	depth  int          // of inlining; 0: a function
	file   int64        // where it was called from, for depth > 0
	line   int64
}

func (c code) covers(addr uint64) bool {
	return slices.ContainsFunc(c.ranges, func(r [2]uint64) bool { return r[0] <= addr && addr < r[1] })
}

// readUnit walks a unit and keeps its functions and what was inlined into them.
func readUnit(d *dwarf.Data, at dwarf.Offset) (*unit, error) {
	r := d.Reader()
	r.Seek(at)
	e, err := r.Next()
	if err != nil {
		return nil, err
	}
	u := &unit{entry: e}
	u.folder, _ = e.Val(dwarf.AttrCompDir).(string)
	// depths[i] is how deep in inlining the children at level i are; the entries
	// that hold no code are left out with all that is below them.
	depths := []int{0}
	for len(depths) > 0 {
		e, err := r.Next()
		if err != nil {
			return nil, fmt.Errorf("unit at %#x: %w", at, err)
		}
		if e == nil {
			break
		}
		depth := depths[len(depths)-1]
		switch e.Tag {
		case 0:
			depths = depths[:len(depths)-1]
			continue
		case dwarf.TagSubprogram, dwarf.TagInlinedSubroutine:
			ranges, err := d.Ranges(e)
			if err != nil {
				return nil, fmt.Errorf("entry at %#x: %w", e.Offset, err)
			}
			if len(ranges) == 0 {
				r.SkipChildren()
				continue
			}
			c := code{ranges: ranges, entry: e.Offset}
			if e.Tag == dwarf.TagInlinedSubroutine {
				c.depth = depth
				c.file, _ = e.Val(dwarf.AttrCallFile).(int64)
				c.line, _ = e.Val(dwarf.AttrCallLine).(int64)
			}
			u.code = append(u.code, c)
			depth = c.depth + 1
		case dwarf.TagLexDwarfBlock:
		default:
			r.SkipChildren()
			continue
		}
		if e.Children {
			depths = append(depths, depth)
		}
	}
	return u, nil
}

// frames tells what is at an address, nothing when no unit holds it.
func (t *Table) frames(addr uint64) ([]Frame, error) {
	u, err := t.unit(addr)
	if err != nil || u == nil {
		return nil, err
	}
	var stack []code
	for _, c := range u.code {
		if c.covers(addr) {
			stack = append(stack, c)
		}
	}
	slices.SortStableFunc(stack, func(a, b code) int { return b.depth - a.depth })
	file, line, files, err := t.source(u, addr)
	if err != nil {
		return nil, err
	}
	if name := t.around(addr); len(stack) == 0 && name != "" { // an assembler's: lines without functions
		return []Frame{{Func: name, File: t.relative(file, u.folder), Line: line}}, nil
	}
	var out []Frame
	for _, c := range stack {
		name, err := t.name(c.entry)
		if err != nil {
			return nil, err
		}
		out = append(out, Frame{Func: name, File: t.relative(file, u.folder), Line: line, Inlined: c.depth > 0})
		file, line = "", int(c.line)
		if c.file >= 0 && c.file < int64(len(files)) && files[c.file] != nil {
			file = files[c.file].Name
		}
	}
	return out, nil
}

// source finds the line of an address, and the unit's files. An address without a
// line is no error.
func (t *Table) source(u *unit, addr uint64) (file string, line int, files []*dwarf.LineFile, err error) {
	lr, err := t.dwarf.LineReader(u.entry)
	if err != nil || lr == nil {
		return "", 0, nil, err
	}
	var e dwarf.LineEntry
	switch err := lr.SeekPC(addr, &e); {
	case err == nil && e.File != nil:
		file, line = e.File.Name, e.Line
	case err != nil && !errors.Is(err, dwarf.ErrUnknownPC):
		return "", 0, nil, fmt.Errorf("line table: %w", err)
	}
	return file, line, lr.Files(), nil
}

// maxHops bounds the way from an inlined copy over its abstract origin to the
// declaration that has the name: two or three steps in what compilers write.
const maxHops = 8

func (t *Table) name(at dwarf.Offset) (string, error) {
	r := t.dwarf.Reader()
	for range maxHops {
		r.Seek(at)
		e, err := r.Next()
		if err != nil {
			return "", fmt.Errorf("entry at %#x: %w", at, err)
		}
		if e == nil {
			break
		}
		if name, ok := e.Val(dwarf.AttrName).(string); ok {
			return name, nil
		}
		next, ok := e.Val(dwarf.AttrAbstractOrigin).(dwarf.Offset)
		if !ok {
			next, ok = e.Val(dwarf.AttrSpecification).(dwarf.Offset)
		}
		if !ok {
			break
		}
		at = next
	}
	return "", fmt.Errorf("entry at %#x: no name", at)
}
