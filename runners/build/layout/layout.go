// Package layout reads from a kernel's debug information where the members of
// its structures lie. A kernel hands many of its statistics out as bytes of a C
// structure, and such a structure changes from version to version: whoever
// decodes the bytes needs the layout of the very kernel that they came from.
//
// The builder of an image calls Read once and stores the result as JSON beside
// the image. The document is one object, with a structure by name:
//
//	{"tcpstat": {"size": 960, "members": [
//	    {"name": "tcps_connattempt", "offset": 0, "size": 8, "kind": "unsigned"},
//	    {"name": "_pad", "offset": 912, "size": 48, "kind": "unsigned", "count": 6}]}}
//
// Offsets and sizes are bytes. Nested structures and unions are flattened, the
// names joined with dots; members of anonymous ones go by their own name. The
// kind is "signed", "unsigned", "float", "pointer", or "struct" for what is not
// flattened: arrays of structures and what lies too deep. An array has a
// "count", the number of its elements over all its dimensions, and its size is
// that of all of them. A bit-field has "bits", its width, and "bit_offset", the
// place of its lowest bit within the little-endian unit at the offset.
//
// Package suites/kernel reads the same document; the two do not import each
// other and a test keeps them equal.
package layout

import "fmt"

// Struct is the layout of one structure or union.
type Struct struct {
	Size    int64    `json:"size"`    // bytes
	Members []Member `json:"members"` // in the order of their declaration
}

// Member is one member after flattening.
type Member struct {
	Name      string `json:"name"`
	Offset    int64  `json:"offset"`
	Size      int64  `json:"size"`
	Kind      Kind   `json:"kind"`
	Count     int64  `json:"count,omitempty"`
	Bits      int64  `json:"bits,omitempty"`
	BitOffset int64  `json:"bit_offset,omitempty"`
}

// Kind says how a member's bytes are to be read. The zero value is invalid.
type Kind int

// The kinds.
const (
	_        Kind = iota
	Signed        // two's complement; enumerations too
	Unsigned      // booleans too
	Float
	Pointer
	Opaque // "struct": bytes that nobody took apart
)

var kindWords = map[Kind]string{
	Signed: "signed", Unsigned: "unsigned", Float: "float", Pointer: "pointer", Opaque: "struct",
}

func (k Kind) String() string {
	if w, ok := kindWords[k]; ok {
		return w
	}
	return fmt.Sprintf("invalid kind %d", int(k))
}

// MarshalText writes the kind's word; an invalid kind is an error.
func (k Kind) MarshalText() ([]byte, error) {
	if w, ok := kindWords[k]; ok {
		return []byte(w), nil
	}
	return nil, fmt.Errorf("invalid kind %d", int(k))
}

// UnmarshalText reads a kind's word.
func (k *Kind) UnmarshalText(text []byte) error {
	for kind, w := range kindWords {
		if w == string(text) {
			*k = kind
			return nil
		}
	}
	return fmt.Errorf("unknown kind %q: one of signed, unsigned, float, pointer, struct", text)
}
