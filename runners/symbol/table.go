// Package symbol maps places in a kernel to lines of its source, with the
// functions that the compiler inlined there. It reads what the build leaves beside
// the kernel: an ELF file with a symbol table and DWARF 2 to 5 (FreeBSD's
// kernel.debug, Linux's vmlinux). The file is mapped, not read, and indexed as far
// as questions need it. Loadable modules, which are relocated at run time, are not
// supported.
package symbol

import (
	"cmp"
	"debug/dwarf"
	"debug/elf"
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"syscall"
)

var (
	// ErrUnknown is wrapped by the error for a place that the file does not know.
	ErrUnknown = errors.New("not in the debug file")
	// ErrAmbiguous is wrapped by the error for a name that several functions have,
	// in files of their own.
	ErrAmbiguous = errors.New("several functions have this name")
)

// Frame is a function and a line in it.
type Frame struct {
	Func    string
	File    string // relative to the source root where that can be told; empty: unknown
	Line    int    // from 1; 0: unknown
	Inlined bool   // into the frame that follows
}

// maxUnpacked bounds the debug sections of a file that compresses them, and which
// therefore cannot be used where they are.
const maxUnpacked = 1 << 30

// Table answers questions about one file. It is safe for concurrent use until
// Close.
type Table struct {
	path   string
	mapped []byte
	syms   []symbol // by value
	names  []int32  // indexes of syms, by name

	mu     sync.Mutex
	dwarf  *dwarf.Data
	info   []byte // .debug_info
	order  func([]byte) uint32
	spans  []span // by low; nil: not yet indexed
	root   string // of the sources; empty: each unit's own folder
	recent []*unit
}

type symbol struct {
	name        string
	value, size uint64
}

// Open maps a debug file and reads its symbol table. The file must not change
// until Close.
func Open(path string) (t *Table, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("debug file %s: %w", path, err)
		}
	}()
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !st.Mode().IsRegular() || st.Size() == 0 || int64(int(st.Size())) != st.Size() {
		return nil, errors.New("want a file that is not empty")
	}
	t = &Table{path: path}
	t.mapped, err = syscall.Mmap(int(f.Fd()), 0, int(st.Size()), syscall.PROT_READ, syscall.MAP_SHARED)
	if err != nil {
		return nil, os.NewSyscallError("mmap", err)
	}
	if err := guard(func() error { return t.load(f) }); err != nil {
		return nil, errors.Join(err, t.Close())
	}
	return t, nil
}

// Close forgets the file. Nothing may be asked afterwards.
func (t *Table) Close() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	m := t.mapped
	t.mapped, t.dwarf, t.info, t.spans, t.recent = nil, nil, nil, nil, nil
	if m == nil {
		return nil
	}
	return os.NewSyscallError("munmap", syscall.Munmap(m))
}

// guard turns what a damaged file makes of its readers into an error: a panic, or
// a fault where the file is shorter than when it was mapped.
func guard(f func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("damaged: %v", p)
		}
	}()
	return f()
}

func (t *Table) load(file *os.File) error {
	f, err := elf.NewFile(file)
	if err != nil {
		return err
	}
	if f.Type == elf.ET_REL {
		return errors.New("a relocatable object: want a kernel's debug file")
	}
	t.order = f.ByteOrder.Uint32
	symbols, err := f.Symbols()
	if err != nil {
		return fmt.Errorf("symbol table: %w", err)
	}
	for _, s := range symbols {
		kind := elf.ST_TYPE(s.Info)
		if s.Section == elf.SHN_UNDEF || s.Name == "" || kind != elf.STT_FUNC && kind != elf.STT_NOTYPE {
			continue
		}
		t.syms = append(t.syms, symbol{strings.Clone(s.Name), s.Value, s.Size})
	}
	slices.SortStableFunc(t.syms, func(a, b symbol) int { return cmp.Compare(a.value, b.value) })
	for i := range t.syms {
		t.names = append(t.names, int32(i))
	}
	slices.SortStableFunc(t.names, func(a, b int32) int { return cmp.Compare(t.syms[a].name, t.syms[b].name) })
	return t.loadDWARF(f)
}

// loadDWARF finds the debug sections in the mapped file.
func (t *Table) loadDWARF(f *elf.File) error {
	sections := map[string][]byte{}
	var unpacked uint64
	for _, s := range f.Sections {
		name, ok := strings.CutPrefix(s.Name, ".debug_")
		if !ok || s.Type == elf.SHT_NOBITS {
			continue
		}
		if s.Flags&elf.SHF_COMPRESSED == 0 {
			if s.Offset > uint64(len(t.mapped)) || s.FileSize > uint64(len(t.mapped))-s.Offset {
				return fmt.Errorf("section %s: beyond the end of the file", s.Name)
			}
			sections[name] = t.mapped[s.Offset : s.Offset+s.FileSize]
			continue
		}
		if unpacked += s.Size; unpacked > maxUnpacked || s.Size > maxUnpacked {
			return fmt.Errorf("section %s: more than %d bytes uncompressed; link without --compress-debug-sections", s.Name, maxUnpacked)
		}
		data, err := s.Data()
		if err != nil {
			return fmt.Errorf("section %s: %w", s.Name, err)
		}
		sections[name] = data
	}
	if len(sections["info"]) == 0 {
		return errors.New("no debug information: build the kernel with makeoptions DEBUG=-g, or CONFIG_DEBUG_INFO")
	}
	d, err := dwarf.New(sections["abbrev"], nil, nil, sections["info"], sections["line"], nil, sections["ranges"], sections["str"])
	if err != nil {
		return fmt.Errorf("debug information: %w", err)
	}
	for _, name := range []string{"addr", "line_str", "str_offsets", "rnglists"} {
		if err := d.AddSection(".debug_"+name, sections[name]); err != nil {
			return fmt.Errorf("section .debug_%s: %w", name, err)
		}
	}
	t.dwarf, t.info = d, sections["info"]
	return nil
}
