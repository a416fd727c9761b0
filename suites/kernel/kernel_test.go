package kernel

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/headwatch/headwatch/suites"
	"github.com/headwatch/headwatch/suites/kernel/guest"
)

// recording answers as a FreeBSD 14.0-CURRENT guest of July 2022 with two CPUs
// did, with some TCP connections open; lists and streams were shortened.
type recording struct {
	suites.Guest
	layouts []byte
	calls   []call
	lacks   map[string]bool // sysctls and prefixes that this kernel does not have
}

type call struct {
	Op     string          `json:"op"`
	Args   json.RawMessage `json:"args"`
	Result json.RawMessage `json:"result"`
}

func open(t testing.TB) *recording {
	t.Helper()
	r := &recording{layouts: file(t, "freebsd14-layouts.json"), lacks: map[string]bool{}}
	if err := json.Unmarshal(file(t, "freebsd14.json"), &r.calls); err != nil {
		t.Fatal(err)
	}
	return r
}

func file(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func (r *recording) OS() string            { return "freebsd" }
func (r *recording) KernelLayouts() []byte { return r.layouts }

func (r *recording) Call(_ context.Context, op string, args, result any) error {
	raw, err := json.Marshal(args)
	if err != nil {
		return err
	}
	var named struct{ Name, Prefix string }
	if err := json.Unmarshal(raw, &named); err != nil {
		return err
	}
	if r.lacks[named.Name+named.Prefix] {
		return json.Unmarshal([]byte(`{"absent":true,"nodes":[]}`), result)
	}
	for _, c := range r.calls {
		if c.Op == op && string(c.Args) == string(raw) {
			return json.Unmarshal(c.Result, result)
		}
	}
	return fmt.Errorf("%s %s was not recorded", op, raw)
}

// raw is the recorded value of a sysctl.
func (r *recording) raw(t testing.TB, name string) []byte {
	t.Helper()
	b, err := Sysctl(context.Background(), r, name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestSnapshotOfFreeBSD(t *testing.T) {
	s, err := Snapshot(t.Context(), open(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		table  Table
		source string
		want   Counters
	}{
		{s.Zones, "vm.uma.*.stats.current", Counters{"tcpcb": 6, "tcp_inpcb": 6, "tcptw": 0, "socket": 6, "hostcache": 2}},
		{s.Malloc, "kern.malloc_stats", Counters{"CC Mem": 6} /* one for each connection */},
		{s.TCP, "net.inet.tcp.stats", Counters{"tcps_connattempt": 20, "tcps_accepts": 20, "tcps_rexmttimeo": 10, "tcps_sndrexmitpack": 10}},
		{s.TCPStates, "net.inet.tcp.states", Counters{"LISTEN": 2, "ESTABLISHED": 4, "TIME_WAIT": 0}},
		{s.Gauges, "sysctl", Counters{"net.inet.tcp.pcbcount": 6, "kern.ipc.numopensockets": 6, "net.inet.tcp.syncache.count": 0}},
	} {
		if tt.table.Source != tt.source {
			t.Errorf("source %q, want %q", tt.table.Source, tt.source)
		}
		for name, want := range tt.want {
			if got, ok := tt.table.Counters[name]; !ok || got != want {
				t.Errorf("%s: %s = %d, %v, want %d", tt.source, name, got, ok, want)
			}
		}
	}
	if n := s.MallocBytes.Counters["kqueue"]; n <= 0 || n%8 != 0 {
		t.Errorf("kqueue has %d bytes", n)
	}
	if _, ok := s.TCP.Counters["_pad[0]"]; ok || len(s.TCP.Counters) != 114 {
		t.Errorf("%d TCP counters, with padding %v; want the 114 named ones", len(s.TCP.Counters), ok)
	}
}

// An older kernel has no sysctls by zone; the stream gives the same.
func TestSnapshotWithoutZoneSysctls(t *testing.T) {
	r := open(t)
	first, err := Snapshot(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	r.lacks = map[string]bool{"vm.uma": true, "net.inet.tcp.states": true}
	r.layouts = nil
	s, err := Snapshot(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	if s.Zones.Source != "vm.zone_stats" || s.Zones.Counters["tcpcb"] != 6 || s.Zones.Counters["socket"] != 6 {
		t.Errorf("zones of %s: %v", s.Zones.Source, s.Zones.Counters)
	}
	if s.TCP.Source != "net.inet.tcp.stats without a layout" || s.TCP.Counters["u64[0]"] != 20 {
		t.Errorf("TCP of %s: %v", s.TCP.Source, s.TCP.Counters)
	}
	if _, err := s.Zones.Diff(first.Zones); err == nil || errors.Is(err, ErrAbsent) {
		t.Errorf("tables of two sources were compared: %v", err)
	}
	if _, err := s.TCPStates.Diff(first.TCPStates); !errors.Is(err, ErrAbsent) {
		t.Errorf("an absent table was compared: %v", err)
	}
}

func TestDiff(t *testing.T) {
	got := Counters{"same": 5, "more": 7, "fresh": 2, "idle": 0}.Diff(Counters{"same": 5, "more": 3, "gone": 4, "zero": 0})
	if diff := cmp.Diff(Counters{"more": 4, "fresh": 2, "gone": -4}, got); diff != "" {
		t.Error(diff)
	}
}

// The stream of version 1 is known without the kernel's own layouts.
func TestStreamsWithAndWithoutLayouts(t *testing.T) {
	r := open(t)
	layouts, err := LayoutsOf(r)
	if err != nil {
		t.Fatal(err)
	}
	zones := r.raw(t, "vm.zone_stats")
	without, err := DecodeZones(zones, nil)
	if err != nil {
		t.Fatal(err)
	}
	with, err := DecodeZones(zones, layouts)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(with, without); diff != "" || len(with) != 18 {
		t.Errorf("%d zones, %s", len(with), diff)
	}
	malloc := r.raw(t, "kern.malloc_stats")
	a, err := DecodeMalloc(malloc, nil)
	if err != nil {
		t.Fatal(err)
	}
	b, err := DecodeMalloc(malloc, layouts)
	if diff := cmp.Diff(a, b); diff != "" || err != nil || len(a) < 10 {
		t.Errorf("%d types, %v, %s", len(a), err, diff)
	}
}

func TestPCBs(t *testing.T) {
	r := open(t)
	list, err := ReadPCBs(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]int{}
	for _, p := range list.List {
		seen[fmt.Sprintf("%s %v", p.State, p.Local.Addr())]++
		if p.Fields["t_maxseg"] <= 0 {
			t.Errorf("%v: t_maxseg %d", p.Local, p.Fields["t_maxseg"])
		}
	}
	want := map[string]int{"LISTEN ::1": 1, "LISTEN 127.0.0.1": 1, "ESTABLISHED ::1": 2, "ESTABLISHED 127.0.0.1": 2}
	if diff := cmp.Diff(want, seen); diff != "" {
		t.Error(diff)
	}
	if list.List[0].Local.Port() != 4002 && list.List[1].Local.Port() != 4002 {
		t.Errorf("ports %v %v", list.List[0].Local, list.List[1].Local)
	}
	r.layouts = nil
	if _, err := ReadPCBs(t.Context(), r); err == nil || !strings.Contains(err.Error(), "not known") {
		t.Errorf("without layouts: %v", err)
	}
}

// What does not fit the kernel's layout is an error and no wrong number.
func TestDamagedInput(t *testing.T) {
	r := open(t)
	layouts, _ := LayoutsOf(r)
	zones, malloc := r.raw(t, "vm.zone_stats"), r.raw(t, "kern.malloc_stats")
	pcbs, err := read(t.Context(), r, guest.OpPCBList, "")
	if err != nil {
		t.Fatal(err)
	}
	other := Layouts{}
	for name, s := range layouts {
		s.Size += 8
		other[name] = s
	}
	for _, tt := range []struct {
		name string
		err  error
	}{
		{"zones cut", second(DecodeZones(zones[:len(zones)-1], nil))},
		{"zones of version 2", second(DecodeZones(append([]byte{2}, zones[1:]...), nil))},
		{"zones by a wrong layout", second(DecodeZones(zones, other))},
		{"malloc with one more", second(DecodeMalloc(append([]byte{}, append(malloc, 0)...), nil))},
		{"nothing", second(DecodeMalloc(nil, nil))},
		{"TCP by a wrong layout", second(DecodeTCPStats(r.raw(t, "net.inet.tcp.stats"), other))},
		{"states short", second(DecodeTCPStates(make([]byte, 80)))},
		{"PCBs without an end", second(DecodePCBs(pcbs[:len(pcbs)-64], layouts))},
		{"PCBs cut", second(DecodePCBs(pcbs[:300], layouts))},
		{"PCBs by a wrong layout", second(DecodePCBs(pcbs, other))},
		{"PCBs by half a layout", second(DecodePCBs(pcbs, Layouts{"xinpgen": layouts["xinpgen"], "xtcpcb": {Size: layouts["xtcpcb"].Size}}))},
		{"member outside", second(ParseLayouts([]byte(`{"s":{"size":8,"members":[{"name":"a","offset":4,"size":8,"kind":"signed"}]}}`)))},
		{"member around the corner", second(ParseLayouts([]byte(`{"s":{"size":8,"members":[{"name":"a","offset":9223372036854775807,"size":8,"kind":"signed"}]}}`)))},
	} {
		if tt.err == nil {
			t.Errorf("%s: no error", tt.name)
		}
	}
}

func second[T any](_ T, err error) error { return err }

// pieces answers with a reading whose pieces a hostile agent chose.
type pieces struct {
	suites.Guest
	first guest.Reading
	rest  guest.Reading
}

func (p pieces) Call(_ context.Context, op string, _, result any) error {
	*result.(*guest.Reading) = p.first
	if op == guest.OpRest {
		*result.(*guest.Reading) = p.rest
	}
	return nil
}

func TestHostileReadings(t *testing.T) {
	for name, p := range map[string]pieces{
		"too large":      {first: guest.Reading{Size: guest.MaxReading + 1}},
		"negative":       {first: guest.Reading{Size: -1}},
		"no deflate":     {first: guest.Reading{Size: 4, Data: []byte("\xff\xff\xff")}},
		"shorter":        {first: guest.Reading{Size: 4, Data: []byte{3, 0}}},
		"no end":         {first: guest.Reading{Size: 4, Rest: 1}, rest: guest.Reading{Data: make([]byte, 1000), Rest: 1}},
		"nothing behind": {first: guest.Reading{Size: 4, Rest: 1}, rest: guest.Reading{Rest: 1}},
	} {
		if _, err := Sysctl(t.Context(), p, "x"); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if _, err := Sysctl(t.Context(), pieces{first: guest.Reading{Absent: true}}, "x"); !errors.Is(err, ErrAbsent) {
		t.Errorf("absent: %v", err)
	}
}

// endless is an agent whose list of sysctls has no end.
type endless struct{ suites.Guest }

func (endless) Call(_ context.Context, _ string, args, result any) error {
	*result.(*guest.Sysctls) = guest.Sysctls{After: args.(guest.SysctlsArgs).After + "1"}
	return nil
}

func TestEndlessList(t *testing.T) {
	if _, err := Sysctls(t.Context(), endless{}, "kern", ""); err == nil || !strings.Contains(err.Error(), "does not end") {
		t.Error(err)
	}
}

func TestNumber(t *testing.T) {
	for _, tt := range []struct {
		kind  string
		value string
		want  int64
		ok    bool
	}{
		{"int", "\xfe\xff\xff\xff", -2, true},
		{"uint", "\xfe\xff\xff\xff", 1<<32 - 2, true},
		{"u8", "\xff", 255, true},
		{"s8", "\xff", -1, true},
		{"s16", "\x00\x80", -32768, true},
		{"ulong", "\x01\x00\x00\x00\x01\x00\x00\x00", 1<<32 + 1, true},
		{"string", "42\n", 42, true},
		{"string", "42 43\n", 0, false},
		{"opaque", "\x01\x00\x00\x00", 0, false},
		{"int", "\x01\x00\x00", 0, false},
	} {
		got, ok := Number(guest.Sysctl{Kind: tt.kind, Value: []byte(tt.value), Size: len(tt.value)})
		if got != tt.want || ok != tt.ok {
			t.Errorf("%s % x: %d, %v", tt.kind, tt.value, got, ok)
		}
	}
}

func TestBitFields(t *testing.T) {
	m := Member{Offset: 4, Size: 4, Kind: "signed", Bits: 5, BitOffset: 3}
	if n, ok := m.number([]byte{0, 0, 0, 0, 0xf0 | 7, 0, 0, 0}); !ok || n != -2 {
		t.Errorf("%d, %v", n, ok)
	}
}
