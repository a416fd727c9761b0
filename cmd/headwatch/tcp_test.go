package main

import (
	"bytes"
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/headwatch/headwatch/orchestrator"
	"github.com/headwatch/headwatch/orchestrator/pipeline"
	"github.com/headwatch/headwatch/suites"
	"github.com/headwatch/headwatch/suites/tcp"
	"github.com/headwatch/headwatch/suites/tcp/guest"
)

// Most of the smoke layer of the TCP suite passes on a real Linux kernel, through the real
// agent. Where the host starves the guest, a case may say so instead.
func TestTCPSuiteOnLinux(t *testing.T) {
	if testing.Short() {
		t.Skip("boots a guest and moves megabytes for half a minute")
	}
	if ok, err := condition("guest"); !ok {
		t.Skipf("no QEMU or no guest kernel: run make setup (%v)", err)
	}
	var said bytes.Buffer
	a := &app{stdout: &said, stderr: &said, state: t.TempDir()}
	file, err := a.loadPipeline()
	if err != nil {
		t.Fatal(err)
	}
	b, err := a.openBench(file, a.state, "test")
	if err != nil {
		t.Fatal(err)
	}
	defer b.close()
	img, err := a.buildImage(t.Context(), b, raceTarget, sourceOptions{})
	if err != nil {
		t.Fatalf("%v\n%s", err, said.String())
	}
	suite := tcp.Suite()
	suite.Cases = append(suite.Cases, leaking(suite))
	suite.Cases = slices.DeleteFunc(suite.Cases, func(c suites.Case) bool { // a family each is enough here
		return slices.Contains([]string{"r01_sack_v6", "r01_plain_v4", "p01_v4"}, c.Name)
	})
	b.suites = []suites.Suite{suite}
	machine := &pipeline.Machine{Name: "m", SMP: 2, Memory: 256, Accel: "auto", NICs: []pipeline.NIC{{Model: "virtio-net", Link: "wire"}}}
	j := orchestrator.Job{Target: raceTarget, Image: img.ID, Machine: "m", Def: machine, Suite: "tcp", Layer: suites.Smoke, Seed: 5}
	doc, err := b.execute(t.Context(), j, "")
	if err != nil {
		t.Fatal(err)
	}
	cases := 0
	for _, r := range doc.Results[1:] { // the first is the boot
		t.Logf("%s: %s in %.1f s: %s %v", r.Case, r.Status, r.DurationS, r.Reason, r.Metrics)
		cases++
		if r.Case == "tcp/leaking" {
			if r.Status != suites.Failed.String() || !strings.Contains(r.Reason, "leak in 900 rounds: ") || !strings.Contains(r.Reason, "sockets.used: 90 items more in use, 0.1 of a round") {
				t.Errorf("a guest that leaks a socket in ten rounds: %s %s", r.Status, r.Reason)
			}
			continue
		}
		if r.Status != suites.Passed.String() && !strings.Contains(r.Reason, "the host") {
			t.Errorf("%s: %s %s", r.Case, r.Status, r.Reason)
		}
	}
	if cases != 7 {
		t.Errorf("%d cases", cases)
	}
}

// leaking is L01 on a guest that forgets a listening socket in ten rounds.
func leaking(suite suites.Suite) suites.Case {
	i := slices.IndexFunc(suite.Cases, func(c suites.Case) bool { return c.Name == "l01_v4" })
	c := suite.Cases[i]
	run := c.Run
	c.Name = "leaking"
	c.Run = func(ctx context.Context, t *suites.T) error {
		with := *t
		with.Guest = forgetful{t.Guest}
		return run(ctx, &with)
	}
	return c
}

type forgetful struct{ suites.Guest }

func (g forgetful) Call(ctx context.Context, op string, args, result any) error {
	if rounds, ok := args.(guest.RoundsArgs); ok {
		for range rounds.Count / 10 {
			if err := g.Guest.Call(ctx, guest.OpListen, guest.ListenArgs{Network: "tcp4", Addr: "127.0.0.1:0"}, nil); err != nil {
				return err
			}
		}
	}
	return g.Guest.Call(ctx, op, args, result)
}
