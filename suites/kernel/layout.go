package kernel

import (
	"encoding/binary"
	"encoding/json"
	"fmt"

	"github.com/headwatch/headwatch/suites"
)

// Layouts are the structures of one kernel by name. Their JSON form is that of
// package runners/build/layout, whose documentation describes it.
type Layouts map[string]Struct

// Struct is the layout of a structure. Sizes and offsets are bytes.
type Struct struct {
	Size    int64    `json:"size"`
	Members []Member `json:"members"`
}

// Member is a member after flattening; nested names are joined with dots.
type Member struct {
	Name      string `json:"name"`
	Offset    int64  `json:"offset"`
	Size      int64  `json:"size"`
	Kind      string `json:"kind"`            // signed, unsigned, float, pointer or struct
	Count     int64  `json:"count,omitempty"` // elements of an array; 0: no array
	Bits      int64  `json:"bits,omitempty"`  // width of a bit-field; 0: none
	BitOffset int64  `json:"bit_offset,omitempty"`
}

// Described is a guest that knows the layouts of its kernel: the JSON document
// that was stored beside its image, nil when there is none.
type Described interface{ KernelLayouts() []byte }

// StructNames are the structures that this package can use. A builder keeps
// their layouts beside the image.
var StructNames = []string{
	"tcpstat", "xinpgen", "xtcpcb",
	"uma_stream_header", "uma_type_header", "uma_percpu_stat",
	"malloc_type_stream_header", "malloc_type_header", "malloc_type_stats",
}

// maxStruct bounds the size of a structure, in bytes.
const maxStruct = 1 << 20

// LayoutsOf gives the layouts of a guest's kernel; none are no error.
func LayoutsOf(g suites.Guest) (Layouts, error) {
	if d, ok := g.(Described); ok {
		if doc := d.KernelLayouts(); len(doc) > 0 {
			return ParseLayouts(doc)
		}
	}
	return nil, nil
}

// ParseLayouts reads the JSON form and checks that every member lies within its
// structure.
func ParseLayouts(doc []byte) (Layouts, error) {
	var l Layouts
	if err := json.Unmarshal(doc, &l); err != nil {
		return nil, fmt.Errorf("kernel layouts: %w", err)
	}
	for name, s := range l {
		if s.Size < 0 || s.Size > maxStruct {
			return nil, fmt.Errorf("kernel layouts: struct %s has %d bytes, at most %d", name, s.Size, maxStruct)
		}
		for _, m := range s.Members {
			if m.Offset < 0 || m.Size < 0 || m.Offset > s.Size || m.Size > s.Size-m.Offset {
				return nil, fmt.Errorf("kernel layouts: struct %s has %d bytes, but member %s lies at %d+%d", name, s.Size, m.Name, m.Offset, m.Size)
			}
			if m.Count < 0 || m.Count > maxStruct || m.Bits < 0 || m.BitOffset < 0 || m.Bits+m.BitOffset > 64 {
				return nil, fmt.Errorf("kernel layouts: struct %s: member %s has an impossible form", name, m.Name)
			}
		}
	}
	return l, nil
}

// number reads a member that is a number, of a structure that is whole in b.
func (m Member) number(b []byte) (int64, bool) {
	if m.Count > 0 || (m.Kind != "signed" && m.Kind != "unsigned" && m.Kind != "pointer") {
		return 0, false
	}
	return m.word(b, 0)
}

// word reads one element. Kernels that are looked at here are little-endian.
func (m Member) word(b []byte, element int64) (int64, bool) {
	size := m.Size
	if m.Count > 0 {
		size = m.Size / m.Count
	}
	at := m.Offset + element*size
	if at < 0 || size < 1 || size > 8 || at > int64(len(b))-size {
		return 0, false
	}
	var wide [8]byte
	copy(wide[:], b[at:at+size])
	n, width := binary.LittleEndian.Uint64(wide[:]), 8*size
	if m.Bits > 0 {
		n, width = n>>m.BitOffset, m.Bits
	}
	unused := 64 - width
	if m.Kind == "signed" {
		return int64(n<<unused) >> unused, true
	}
	return int64(n << unused >> unused), true
}

// values adds every number of a structure that begins b. Members of unions are
// all read; padding, by C's habit named with an underscore or "spare", is not.
func (s Struct) values(b []byte, into Counters) {
	for _, m := range s.Members {
		if isPadding(m.Name) {
			continue
		}
		if n, ok := m.number(b); ok {
			into[m.Name] += n
		}
	}
}
