package symbol

import (
	"cmp"
	"debug/dwarf"
	"encoding/binary"
	"fmt"
	"path"
	"slices"
	"strings"
)

// span is a stretch of code that belongs to the unit whose entry is at entry.
type span struct {
	low, high uint64
	entry     dwarf.Offset
}

// index finds out which unit holds which code. It reads the first entry of each
// unit only, finding units by the lengths in their headers: DWARF 4 and 5, 7.5.1.
func (t *Table) index() error {
	r := t.dwarf.Reader()
	spans := []span{}
	for off := 0; off < len(t.info); {
		size, entry, err := t.header(off)
		if err != nil {
			return err
		}
		if entry > 0 {
			r.Seek(dwarf.Offset(entry))
			e, err := r.Next()
			if err != nil {
				return fmt.Errorf("unit at %#x: %w", off, err)
			}
			if e != nil && e.Tag == dwarf.TagCompileUnit {
				ranges, err := t.dwarf.Ranges(e)
				if err != nil {
					return fmt.Errorf("unit at %#x: %w", off, err)
				}
				for _, p := range ranges {
					spans = append(spans, span{p[0], p[1], e.Offset})
				}
				t.findRoot(e)
			}
		}
		off += size
	}
	slices.SortFunc(spans, func(a, b span) int { return cmp.Compare(a.low, b.low) })
	t.spans = spans
	return nil
}

// header reads a unit's header: its size with the length field, and where its
// first entry is, 0 for a unit that holds no code.
func (t *Table) header(off int) (size, entry int, err error) {
	b := t.info[off:]
	bad := fmt.Errorf("unit at %#x: broken header", off)
	if len(b) < 12 {
		return 0, 0, bad
	}
	length, at, wide := uint64(t.order(b)), 4, 4
	if length == 0xffffffff {
		if len(b) < 24 {
			return 0, 0, bad
		}
		length, at, wide = t.order64(b[4:]), 12, 8
	}
	if length < uint64(wide)+4 || length > uint64(len(b)-at) {
		return 0, 0, bad
	}
	size = at + int(length)
	version := t.order16(b[at:])
	if version < 5 {
		return size, off + at + 2 + wide + 1, nil
	}
	const compile, partial = 1, 3 // DW_UT_compile, DW_UT_partial
	if kind := b[at+2]; kind != compile && kind != partial {
		return size, 0, nil
	}
	return size, off + at + 2 + 1 + 1 + wide, nil
}

func (t *Table) order16(b []byte) uint16 {
	if t.big() {
		return binary.BigEndian.Uint16(b)
	}
	return binary.LittleEndian.Uint16(b)
}

func (t *Table) order64(b []byte) uint64 {
	if t.big() {
		return binary.BigEndian.Uint64(b)
	}
	return binary.LittleEndian.Uint64(b)
}

func (t *Table) big() bool { return t.order([]byte{0, 0, 0, 1}) == 1 }

// kern is a folder that every FreeBSD kernel has; what it lies in is the root.
const kern = "/sys/kern/"

func (t *Table) findRoot(unit *dwarf.Entry) {
	name, _ := unit.Val(dwarf.AttrName).(string)
	if i := strings.Index(name, kern); t.root == "" && i >= 0 {
		t.root = name[:i]
	}
}

// relative gives a file's path from the source root, or from the folder in which
// its unit was compiled; another path stays whole.
func (t *Table) relative(file, folder string) string {
	if file == "" {
		return ""
	}
	file = path.Clean(file)
	for _, root := range []string{t.root, folder} {
		if rest, ok := strings.CutPrefix(file, path.Clean(root)+"/"); ok && root != "" {
			return rest
		}
	}
	return file
}

// maxRecent is how many units are kept ready. A backtrace crosses a dozen.
const maxRecent = 12

// unit returns the unit that holds an address, nil when none does.
func (t *Table) unit(addr uint64) (*unit, error) {
	if t.spans == nil {
		if err := t.index(); err != nil {
			return nil, err
		}
	}
	i, _ := slices.BinarySearchFunc(t.spans, addr, func(s span, addr uint64) int {
		if s.low <= addr {
			return -1
		}
		return 1
	})
	if i--; i < 0 || addr >= t.spans[i].high {
		return nil, nil
	}
	entry := t.spans[i].entry
	if n := slices.IndexFunc(t.recent, func(u *unit) bool { return u.entry.Offset == entry }); n >= 0 {
		u := t.recent[n]
		t.recent = append(slices.Delete(t.recent, n, n+1), u)
		return u, nil
	}
	u, err := readUnit(t.dwarf, entry)
	if err != nil {
		return nil, err
	}
	if len(t.recent) == maxRecent {
		t.recent = slices.Delete(t.recent, 0, 1)
	}
	t.recent = append(t.recent, u)
	return u, nil
}
