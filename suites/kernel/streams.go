package kernel

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strings"
)

// Zone is a UMA zone. Counts are since its creation.
type Zone struct {
	Name     string
	ItemSize int64 // bytes
	Limit    int64 // items; 0: none
	Allocs   int64
	Frees    int64
	Fails    int64
	Sleeps   int64
}

// InUse is how many items somebody holds. Items in caches are free.
func (z Zone) InUse() int64 { return z.Allocs - z.Frees }

// MallocType is a type of malloc(9).
type MallocType struct {
	Name        string
	Allocs      int64
	Frees       int64
	BytesAllocs int64
	BytesFrees  int64
}

// InUse is how many allocations somebody holds.
func (m MallocType) InUse() int64 { return m.Allocs - m.Frees }

// BytesInUse is their size.
func (m MallocType) BytesInUse() int64 { return m.BytesAllocs - m.BytesFrees }

// Bounds of what a stream may claim.
const (
	streamVersion = 1
	maxStreamCPUs = 4096
	maxRecords    = 1 << 16
)

// streamLayouts are those of version 1 of both streams, as libmemstat(3) reads
// them in every release since FreeBSD 7. Those of the kernel itself go first.
var streamLayouts = Layouts{
	"uma_stream_header": header("ush"),
	"uma_type_header": {Size: 120, Members: []Member{
		{Name: "uth_name", Size: 32, Kind: "signed", Count: 32},
		{Name: "uth_size", Offset: 36, Size: 4, Kind: "unsigned"},
		{Name: "uth_limit", Offset: 48, Size: 4, Kind: "unsigned"},
		{Name: "uth_allocs", Offset: 72, Size: 8, Kind: "unsigned"},
		{Name: "uth_frees", Offset: 80, Size: 8, Kind: "unsigned"},
		{Name: "uth_fails", Offset: 88, Size: 8, Kind: "unsigned"},
		{Name: "uth_sleeps", Offset: 96, Size: 8, Kind: "unsigned"},
	}},
	"uma_percpu_stat": {Size: 64, Members: []Member{
		{Name: "ups_allocs", Size: 8, Kind: "unsigned"},
		{Name: "ups_frees", Offset: 8, Size: 8, Kind: "unsigned"},
	}},
	"malloc_type_stream_header": header("mtsh"),
	"malloc_type_header": {Size: 32, Members: []Member{
		{Name: "mth_name", Size: 32, Kind: "signed", Count: 32},
	}},
	"malloc_type_stats": {Size: 64, Members: []Member{
		{Name: "mts_memalloced", Size: 8, Kind: "unsigned"},
		{Name: "mts_memfreed", Offset: 8, Size: 8, Kind: "unsigned"},
		{Name: "mts_numallocs", Offset: 16, Size: 8, Kind: "unsigned"},
		{Name: "mts_numfrees", Offset: 24, Size: 8, Kind: "unsigned"},
	}},
}

func header(prefix string) Struct {
	return Struct{Size: 16, Members: []Member{
		{Name: prefix + "_version", Size: 4, Kind: "unsigned"},
		{Name: prefix + "_maxcpus", Offset: 4, Size: 4, Kind: "unsigned"},
		{Name: prefix + "_count", Offset: 8, Size: 4, Kind: "unsigned"},
	}}
}

// DecodeZones reads vm.zone_stats. layouts may be nil: version 1 of the stream is
// known. Zones may share a name.
func DecodeZones(b []byte, layouts Layouts) ([]Zone, error) {
	var zones []Zone
	err := stream{"vm.zone_stats", "ush", "uma_stream_header", "uma_type_header", "uma_percpu_stat"}.each(b, layouts,
		func(head, sum Counters, name string) {
			zones = append(zones, Zone{
				Name: name, ItemSize: head["uth_size"], Limit: head["uth_limit"],
				Allocs: head["uth_allocs"] + sum["ups_allocs"], Frees: head["uth_frees"] + sum["ups_frees"],
				Fails: head["uth_fails"], Sleeps: head["uth_sleeps"],
			})
		})
	return zones, err
}

// DecodeMalloc reads kern.malloc_stats; layouts may be nil.
func DecodeMalloc(b []byte, layouts Layouts) ([]MallocType, error) {
	var types []MallocType
	err := stream{"kern.malloc_stats", "mtsh", "malloc_type_stream_header", "malloc_type_header", "malloc_type_stats"}.each(b, layouts,
		func(_, sum Counters, name string) {
			types = append(types, MallocType{
				Name: name, Allocs: sum["mts_numallocs"], Frees: sum["mts_numfrees"],
				BytesAllocs: sum["mts_memalloced"], BytesFrees: sum["mts_memfreed"],
			})
		})
	return types, err
}

// stream is the form that both share: a header, then for each record a fixed part
// that begins with a name, and a part for each CPU.
type stream struct{ source, prefix, header, record, perCPU string }

// each calls f with the record's own numbers and the sums over its CPUs. The
// stream must be exactly as long as its header says, so that a layout of another
// kernel shows.
func (s stream) each(b []byte, layouts Layouts, f func(head, sum Counters, name string)) error {
	head, record, perCPU := s.layout(layouts, s.header), s.layout(layouts, s.record), s.layout(layouts, s.perCPU)
	if int64(len(b)) < head.Size {
		return fmt.Errorf("%s: %d bytes, shorter than its header", s.source, len(b))
	}
	h := Counters{}
	head.values(b, h)
	version, cpus, count := h[s.prefix+"_version"], h[s.prefix+"_maxcpus"], h[s.prefix+"_count"]
	switch {
	case version != streamVersion:
		return fmt.Errorf("%s: stream of version %d, this reads %d", s.source, version, streamVersion)
	case cpus < 1 || cpus > maxStreamCPUs || count < 0 || count > maxRecords:
		return fmt.Errorf("%s: stream claims %d CPUs and %d records", s.source, cpus, count)
	case record.Size < 1 || perCPU.Size < 1:
		return fmt.Errorf("%s: layouts of empty structures", s.source)
	}
	size := record.Size + cpus*perCPU.Size
	if want := head.Size + count*size; int64(len(b)) != want {
		return fmt.Errorf("%s: %d bytes, but %d records of %d CPUs are %d: is the layout of another kernel?", s.source, len(b), count, cpus, want)
	}
	for b = b[head.Size:]; len(b) > 0; b = b[size:] {
		values, sum := Counters{}, Counters{}
		record.values(b[:record.Size], values)
		for at := record.Size; at < size; at += perCPU.Size {
			perCPU.values(b[at:at+perCPU.Size], sum)
		}
		f(values, sum, recordName(b[:record.Size], record))
	}
	return nil
}

func (s stream) layout(layouts Layouts, name string) Struct {
	if l, ok := layouts[name]; ok {
		return l
	}
	return streamLayouts[name]
}

// recordName is the text of the first member, cleaned of what does not print.
func recordName(b []byte, s Struct) string {
	if len(s.Members) == 0 {
		return ""
	}
	first := s.Members[0]
	return text(b[first.Offset : first.Offset+first.Size])
}

// text is a C string of a kernel's, safe to show.
func text(b []byte) string {
	if i := bytes.IndexByte(b, 0); i >= 0 {
		b = b[:i]
	}
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, string(b))
}

// sysctlName is what a zone is called as a sysctl: zone_alloc_sysctl of
// vm/uma_core.c.
func sysctlName(zone string) string {
	return strings.NewReplacer(".", "_", "/", "_", `\`, "_", " ", "_", "-", "_").Replace(zone)
}

// words are the little-endian 64-bit numbers that b begins with.
func words(b []byte) []int64 {
	list := make([]int64, 0, len(b)/8)
	for ; len(b) >= 8; b = b[8:] {
		list = append(list, int64(binary.LittleEndian.Uint64(b)))
	}
	return list
}
