package kernel

import (
	"context"
	"encoding/json"
	"net"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/headwatch/headwatch/suites"
	"github.com/headwatch/headwatch/suites/kernel/guest"
)

// host is a guest whose operations run in this process: this very kernel.
type host struct {
	suites.Guest
	ops map[string]suites.Operation
}

func (h host) OS() string { return "linux" }

func (h host) Call(ctx context.Context, op string, args, result any) error {
	raw, err := json.Marshal(args)
	if err != nil {
		return err
	}
	answer, err := h.ops[op](ctx, raw)
	if err != nil {
		return err
	}
	if raw, err = json.Marshal(answer); err != nil {
		return err
	}
	return json.Unmarshal(raw, result)
}

// Opening a listening socket shows in a snapshot of this kernel.
func TestSnapshotOfThisHost(t *testing.T) {
	h := host{ops: guest.Operations()}
	if _, err := os.ReadFile("/proc/net/netstat"); err != nil {
		t.Skipf("this host does not show its network counters: %v", err)
	}
	before, err := Snapshot(t.Context(), h)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	after, err := Snapshot(t.Context(), h)
	if err != nil {
		t.Fatal(err)
	}
	// The network namespace may be shared, so others can only have added.
	tcp, err := after.TCP.Diff(before.TCP)
	if err != nil || tcp["Tcp.ActiveOpens"] < 1 || tcp["Tcp.PassiveOpens"] < 1 {
		t.Errorf("%v, %v", tcp, err)
	}
	if after.TCPStates.Counters["LISTEN"] < 1 || after.TCPStates.Counters["ESTABLISHED"] < 2 {
		t.Errorf("%v", after.TCPStates)
	}
	if after.Gauges.Counters["TCP.inuse"] < 1 {
		t.Errorf("%v", after.Gauges)
	}
	if after.Malloc.Source != "" {
		t.Errorf("Linux has malloc types of %s", after.Malloc.Source)
	}
	if after.Zones.Source == "" {
		t.Log("this host shows no slab caches")
	}
}

func TestParseLinuxTexts(t *testing.T) {
	slab := "slabinfo - version: 2.1\n# name            <active_objs> <num_objs> <objsize>\nTCP                   12     26   2368   13    8 : tunables    0    0    0 : slabdata      2      2      0\nrequest_sock_TCP       0      0    304   26    2 : tunables 0 0 0\n"
	for _, tt := range []struct {
		name  string
		parse func([]byte) (Counters, error)
		text  string
		want  Counters // nil: an error
	}{
		{"slabinfo", ParseSlabinfo, slab, Counters{"TCP": 12, "request_sock_TCP": 0}},
		{"slabinfo 1", ParseSlabinfo, "slabinfo - version: 1.1\n", nil},
		{"slabinfo short", ParseSlabinfo, "slabinfo - version: 2.1\nTCP 12\n", nil},
		{"snmp", ParseSNMP, "Tcp: RtoMin MaxConn RetransSegs\nTcp: 200 -1 7\nUdp: InDatagrams\nUdp: 3\n", Counters{"Tcp.RtoMin": 200, "Tcp.MaxConn": -1, "Tcp.RetransSegs": 7, "Udp.InDatagrams": 3}},
		{"snmp odd", ParseSNMP, "Tcp: A B\nTcp: 1\n", nil},
		{"snmp mixed", ParseSNMP, "Tcp: A\nUdp: 1\n", nil},
		{"snmp half", ParseSNMP, "Tcp: A\n", nil},
		{"sockstat", ParseSockstat, "sockets: used 9\nTCP: inuse 5 orphan 0\n", Counters{"sockets.used": 9, "TCP.inuse": 5, "TCP.orphan": 0}},
		{"states", CountTCPStates, "  sl  local_address rem_address   st\n   0: 0100007F:0016 00000000:0000 0A 0:0\n   1: 0100007F:0016 0100007F:0017 01 0:0\n", Counters{"LISTEN": 1, "ESTABLISHED": 1}},
		{"states unknown", CountTCPStates, "   0: 0100007F:0016 00000000:0000 7F 0:0\n", nil},
	} {
		got, err := tt.parse([]byte(tt.text))
		if (err != nil) != (tt.want == nil) {
			t.Errorf("%s: %v", tt.name, err)
		}
		if diff := cmp.Diff(tt.want, got); tt.want != nil && diff != "" {
			t.Errorf("%s: %s", tt.name, diff)
		}
	}
}
