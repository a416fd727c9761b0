package layout

import (
	"debug/dwarf"
	"fmt"
)

const (
	maxDepth   = 16
	maxMembers = 20_000
)

// flattener collects the members of one structure.
type flattener struct {
	members []Member
	err     error
}

// structure adds the members of t, which lies at base.
func (f *flattener) structure(t *dwarf.StructType, prefix string, base int64, depth int) {
	for _, field := range t.Field {
		if f.err != nil {
			return
		}
		f.field(field, prefix, base, depth)
	}
}

func (f *flattener) field(field *dwarf.StructField, prefix string, base int64, depth int) {
	typ := resolve(field.Type)
	m := Member{Name: prefix + field.Name, Offset: base + field.ByteOffset, Size: max(0, typ.Size())}
	if nested, ok := typ.(*dwarf.StructType); ok && depth < maxDepth && !nested.Incomplete {
		inner := m.Name + "."
		if field.Name == "" {
			inner = prefix
		}
		f.structure(nested, inner, m.Offset, depth+1)
		return
	}
	if field.Name == "" {
		return // padding: an unnamed bit-field
	}
	if array, ok := typ.(*dwarf.ArrayType); ok {
		typ, m.Count = elements(array)
	}
	m.Kind = kindOf(typ)
	if field.BitSize > 0 {
		m.place(field, base)
	}
	if len(f.members) >= maxMembers {
		f.err = fmt.Errorf("more than %d members", maxMembers)
		return
	}
	f.members = append(f.members, m)
}

// elements is the type of an array's elements and their number over all
// dimensions. The flexible array at a structure's end has none.
func elements(array *dwarf.ArrayType) (dwarf.Type, int64) {
	n := int64(1)
	for {
		n *= max(0, array.Count)
		typ := resolve(array.Type)
		inner, ok := typ.(*dwarf.ArrayType)
		if !ok {
			return typ, n
		}
		array = inner
	}
}

// place puts a bit-field. DWARF 4 and later count its bits from the structure's
// start. Older ones give the storage unit, with its size, and count from its top;
// for the little-endian machines that kernels run on here this is turned round.
func (m *Member) place(field *dwarf.StructField, base int64) {
	m.Bits = field.BitSize
	unit := 8 * m.Size
	switch {
	case unit == 0:
	case field.ByteSize > 0 || field.BitOffset != 0:
		m.BitOffset = unit - field.BitOffset - field.BitSize
	case field.DataBitOffset != 0:
		m.Offset = base + field.DataBitOffset/unit*m.Size
		m.BitOffset = field.DataBitOffset % unit
	}
}

func kindOf(t dwarf.Type) Kind {
	switch t.(type) {
	case *dwarf.IntType, *dwarf.CharType, *dwarf.EnumType:
		return Signed
	case *dwarf.UintType, *dwarf.UcharType, *dwarf.BoolType, *dwarf.AddrType:
		return Unsigned
	case *dwarf.FloatType:
		return Float
	case *dwarf.PtrType:
		return Pointer
	}
	return Opaque
}
