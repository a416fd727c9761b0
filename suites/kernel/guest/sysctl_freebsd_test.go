package guest

import (
	"bytes"
	"testing"
)

func TestEncode(t *testing.T) {
	for _, tt := range []struct {
		kind, text string
		want       []byte // nil: an error
	}{
		{"int", "-2", []byte{0xfe, 0xff, 0xff, 0xff}},
		{"int", "0x10", []byte{16, 0, 0, 0}},
		{"u64", "18446744073709551615", bytes.Repeat([]byte{0xff}, 8)},
		{"u8", "255", []byte{255}},
		{"u8", "256", nil},
		{"s16", "-32769", nil},
		{"string", "42", []byte("42")},
		{"uint", "", nil},
		{"opaque", "1", nil},
	} {
		got, err := encode(tt.kind, tt.text)
		if (err != nil) != (tt.want == nil) || !bytes.Equal(got, tt.want) {
			t.Errorf("%s %q: % x, %v", tt.kind, tt.text, got, err)
		}
	}
}

func TestOID(t *testing.T) {
	o, err := parseOID("1.2.2147483647")
	if err != nil || o.String() != "1.2.2147483647" || !o.below(oid{1, 2}) || !o.below(nil) || o.below(oid{1, 3}) || (oid{1}).below(oid{1, 2}) {
		t.Errorf("%v, %v", o, err)
	}
	for _, s := range []string{"", "x", "1..2", "2147483648", "1.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1"} {
		if o, err := parseOID(s); err == nil {
			t.Errorf("%q is %v", s, o)
		}
	}
}

// The kernel's own tree: what a list says, a reading confirms.
func TestSysctlsOfThisKernel(t *testing.T) {
	list, err := sysctls(t.Context(), SysctlsArgs{Prefix: "kern", Suffix: ".ostype"})
	if err != nil || len(list.Nodes) != 1 || list.After != "" {
		t.Fatalf("%+v, %v", list, err)
	}
	n := list.Nodes[0]
	r, err := readSysctl(t.Context(), "kern.ostype")
	if err != nil || n.Name != "kern.ostype" || n.Kind != "string" || n.Format != "A" || !bytes.Equal(r.data, n.Value) {
		t.Errorf("%+v, %q, %v", n, r.data, err)
	}
	list, err = sysctls(t.Context(), SysctlsArgs{Prefix: "no.such"})
	if err != nil || len(list.Nodes) != 0 {
		t.Errorf("%+v, %v", list, err)
	}
	seen := map[string]int{}
	for args := (SysctlsArgs{}); ; {
		list, err := sysctls(t.Context(), args)
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range list.Nodes {
			if seen[n.Name]++; seen[n.Name] > 1 {
				t.Errorf("%s came twice", n.Name)
			}
		}
		if args.After = list.After; args.After == "" {
			break
		}
	}
	if len(seen) < 1000 || seen["kern.ostype"] != 1 {
		t.Errorf("%d sysctls", len(seen))
	}
}
