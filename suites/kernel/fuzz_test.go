package kernel

import (
	"testing"

	"github.com/headwatch/headwatch/suites/kernel/guest"
)

// Whatever a guest sends, decoding ends with a result or an error.
func FuzzDecoders(f *testing.F) {
	r := open(f)
	layouts, err := LayoutsOf(r)
	if err != nil {
		f.Fatal(err)
	}
	for _, name := range []string{"vm.zone_stats", "net.inet.tcp.stats", "net.inet.tcp.states"} {
		f.Add(r.raw(f, name))
	}
	pcbs, err := read(f.Context(), r, guest.OpPCBList, "")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(pcbs)
	f.Add([]byte("Tcp: A B\nTcp: 1 2\n"))
	f.Add([]byte("slabinfo - version: 2.1\nTCP 1 2\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, l := range []Layouts{nil, layouts} {
			if zones, err := DecodeZones(b, l); err == nil && int64(len(zones))*184 > int64(len(b)) {
				t.Errorf("%d zones of %d bytes", len(zones), len(b))
			}
			_, _ = DecodeMalloc(b, l)
			_, _ = DecodeTCPStats(b, l)
			_, _ = DecodePCBs(b, l)
		}
		_, _ = DecodeTCPStates(b)
		_, _ = ParseSlabinfo(b)
		_, _ = ParseSNMP(b)
		_, _ = ParseSockstat(b)
		_, _ = CountTCPStates(b)
		_, _ = inflate(b, 1<<16)
	})
}

// A layout comes from our own builder, but through a file.
func FuzzLayouts(f *testing.F) {
	f.Add(file(f, "freebsd14-layouts.json"), []byte("x"))
	f.Add([]byte(`{"xinpgen":{"size":8},"xtcpcb":{"size":0}}`), []byte{8, 0, 0, 0, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, doc, b []byte) {
		l, err := ParseLayouts(doc)
		if err != nil {
			return
		}
		_, _ = DecodeZones(b, l)
		_, _ = DecodeTCPStats(b, l)
		_, _ = DecodePCBs(b, l)
	})
}
