package tcp

import (
	"bytes"
	"compress/flate"
	"context"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/headwatch/headwatch/suites"
	kguest "github.com/headwatch/headwatch/suites/kernel/guest"
	"github.com/headwatch/headwatch/suites/wire"
)

// leakyGuest is a Linux kernel's tables, as far as a snapshot reads them.
type leakyGuest struct {
	suites.Guest
	slabs  map[string]int64
	states []int // of connections, by /proc/net/tcp's numbers
}

func (g *leakyGuest) OS() string { return "linux" }

func (g *leakyGuest) Call(_ context.Context, op string, args, result any) error {
	text := ""
	switch {
	case op == kguest.OpFile && args.(kguest.NameArgs).Name == "/proc/slabinfo":
		text = "slabinfo - version: 2.1\n"
		for name, n := range g.slabs {
			text += fmt.Sprintf("%s %d %d 64 64 1 : tunables 0 0 0 : slabdata 1 1 0\n", name, n, n)
		}
	case op == kguest.OpFile && args.(kguest.NameArgs).Name == "/proc/net/tcp":
		for i, s := range g.states {
			text += fmt.Sprintf("%d: 0100007F:0016 0100007F:1000 %02X\n", i, s)
		}
	case op == kguest.OpFile && strings.HasPrefix(args.(kguest.NameArgs).Name, "/proc/net/s"), op == kguest.OpFile, op == kguest.OpPCBList:
	default:
		return fmt.Errorf("operation %s", op)
	}
	var b bytes.Buffer
	w, _ := flate.NewWriter(&b, 1)
	io.WriteString(w, text)
	w.Close()
	*result.(*kguest.Reading) = kguest.Reading{Size: len(text), Data: b.Bytes()}
	return nil
}

// tableBed is a bed for what looks at tables only.
func tableBed(t *testing.T, g suites.Guest) *Bed {
	t.Helper()
	c, err := wire.New(wire.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return &Bed{T: &suites.T{Guest: g, Metrics: map[string]float64{}}, Cable: c}
}

func TestScreenNamesTheLeakingType(t *testing.T) {
	for _, c := range []struct {
		name     string
		leak     func(g *leakyGuest, count int)
		want     string // of the failure; empty: none
		measured float64
	}{
		{"nothing", func(*leakyGuest, int) {}, "", 0},
		{"one of a round", func(g *leakyGuest, count int) { g.slabs["skbuff"] += int64(count) },
			"b: leak in 192 rounds: zone skbuff: 192 items more in use, 1 of a round", 1},
		{"one of three rounds", func(g *leakyGuest, count int) { g.slabs["skbuff"] += int64(count / 3) },
			"b: leak in 192 rounds: zone skbuff", 1},
		{"a pool that fills at once", func(g *leakyGuest, count int) { g.slabs["skbuff"] = 500 }, "", 0},
		{"a pool that fills slowly", func(g *leakyGuest, count int) { g.slabs["skbuff"] = min(g.slabs["skbuff"]+int64(count), 250) }, "", 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := &leakyGuest{slabs: map[string]int64{"skbuff": 40, "TCP": 3}}
			b := tableBed(t, g)
			still := func(context.Context, int) error { return nil }
			rest := func(context.Context, *Bed) error { return nil }
			all := []*repeated{
				{what: "a", n: 64, steps: 2, rounds: still, quiet: rest},
				{what: "b", n: 64, steps: 2, quiet: rest, rounds: func(_ context.Context, count int) error { c.leak(g, count); return nil }},
				{what: "c", n: 64, steps: 2, rounds: still, quiet: rest},
			}
			err := screen(t.Context(), b, all)
			_, reason := suites.Classify(err)
			if (err == nil) != (c.want == "") || !strings.HasPrefix(reason, c.want) {
				t.Errorf("%v", err)
			}
			if err == nil && b.T.Metrics["measured_types"] != c.measured {
				t.Errorf("metrics %v", b.T.Metrics)
			}
		})
	}
}

func TestConnectionsThatStay(t *testing.T) {
	g := &leakyGuest{states: []int{10, 10}} // listening
	if err := gone(t.Context(), tableBed(t, g), time.Second); err != nil {
		t.Error(err)
	}
	g.states = append(g.states, 5, 5, 3) // FIN_WAIT_2, SYN_RECV
	err := gone(t.Context(), tableBed(t, g), 60*time.Millisecond)
	status, reason := suites.Classify(err)
	if status != suites.Failed || reason != "60ms after they have ended there still are connections: 2 in FIN_WAIT_2, 1 in SYN_RECEIVED" {
		t.Errorf("%v: %s", status, reason)
	}
	if got := lasting(map[string]int64{"SYN_RECEIVED": -2, "LISTEN": 3, "CLOSED": 9}); got != "-2 in SYN_RECEIVED" {
		t.Errorf("%q", got)
	}
}
