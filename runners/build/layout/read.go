package layout

import (
	"debug/dwarf"
	"debug/elf"
	"errors"
	"fmt"
)

// ErrNoDebugInfo says that a file was read and describes no types at all.
var ErrNoDebugInfo = errors.New("no debug information")

// Read takes the layouts of the named structures from an ELF file with DWARF
// debug information: FreeBSD's kernel.debug or kernel.full, Linux's vmlinux. A
// name is that of a structure, a union, or a typedef of one. Reading stops when
// all of them are found. A name that the kernel does not have is not in the
// result: a structure may come or go with any commit.
//
// Where two structures share a name, the first one in the file counts.
func Read(path string, names []string) (map[string]Struct, error) {
	f, err := elf.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read layouts: %w", err)
	}
	defer f.Close()
	if f.Section(".debug_info") == nil && f.Section(".zdebug_info") == nil {
		return nil, fmt.Errorf("read layouts of %s: %w: build the kernel with -g and give its kernel.debug", path, ErrNoDebugInfo)
	}
	data, err := f.DWARF()
	if err != nil {
		return nil, fmt.Errorf("read layouts of %s: %w", path, err)
	}
	found, err := collect(data, names)
	if err != nil {
		return nil, fmt.Errorf("read layouts of %s: %w", path, err)
	}
	return found, nil
}

// collect walks the top level of every compilation unit: C has its types there.
func collect(data *dwarf.Data, names []string) (map[string]Struct, error) {
	wanted := make(map[string]bool, len(names))
	for _, name := range names {
		wanted[name] = true
	}
	found := make(map[string]Struct, len(names))
	r := data.Reader()
	for len(wanted) > 0 {
		e, err := r.Next()
		if err != nil {
			return nil, err
		}
		if e == nil {
			break
		}
		if e.Tag == dwarf.TagCompileUnit {
			continue // and down into it
		}
		if name, ok := describes(e); ok && wanted[name] {
			s, ok, err := read(data, e.Offset)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", name, err)
			}
			if ok {
				found[name] = s
				delete(wanted, name)
			}
		}
		r.SkipChildren()
	}
	return found, nil
}

// describes reports whether an entry gives a structure its name.
func describes(e *dwarf.Entry) (string, bool) {
	switch e.Tag {
	case dwarf.TagStructType, dwarf.TagUnionType, dwarf.TagTypedef:
	default:
		return "", false
	}
	name, ok := e.Val(dwarf.AttrName).(string)
	declaration, _ := e.Val(dwarf.AttrDeclaration).(bool)
	return name, ok && !declaration
}

// read flattens the type at an offset; false when it is no complete structure.
func read(data *dwarf.Data, at dwarf.Offset) (Struct, bool, error) {
	typ, err := data.Type(at)
	if err != nil {
		return Struct{}, false, err
	}
	t, ok := resolve(typ).(*dwarf.StructType)
	if !ok || t.Incomplete {
		return Struct{}, false, nil
	}
	var f flattener
	f.structure(t, "", 0, 0)
	if f.err != nil {
		return Struct{}, false, f.err
	}
	return Struct{Size: t.ByteSize, Members: f.members}, true, nil
}

// resolve looks through typedefs and qualifiers.
func resolve(t dwarf.Type) dwarf.Type {
	for {
		switch u := t.(type) {
		case *dwarf.TypedefType:
			t = u.Type
		case *dwarf.QualType:
			t = u.Type
		default:
			return t
		}
	}
}
