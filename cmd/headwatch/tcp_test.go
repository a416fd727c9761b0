package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/headwatch/headwatch/orchestrator"
	"github.com/headwatch/headwatch/orchestrator/pipeline"
	"github.com/headwatch/headwatch/suites"
	"github.com/headwatch/headwatch/suites/tcp"
)

// The smoke layer of the TCP suite passes on a real Linux kernel, through the real
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
	b.suites = []suites.Suite{tcp.Suite()}
	machine := &pipeline.Machine{Name: "m", SMP: 2, Memory: 256, Accel: "auto", NICs: []pipeline.NIC{{Model: "virtio-net", Link: "wire"}}}
	j := orchestrator.Job{Target: raceTarget, Image: img.ID, Machine: "m", Def: machine, Suite: "tcp", Layer: suites.Smoke, Seed: 5}
	doc, err := b.execute(t.Context(), j, "")
	if err != nil {
		t.Fatal(err)
	}
	cases := 0
	for _, r := range doc.Results[1:] { // the first is the boot
		t.Logf("%s: %s %s %v", r.Case, r.Status, r.Reason, r.Metrics)
		cases++
		if r.Status != suites.Passed.String() && !strings.Contains(r.Reason, "the host") {
			t.Errorf("%s: %s %s", r.Case, r.Status, r.Reason)
		}
	}
	if cases < 9 {
		t.Errorf("%d cases", cases)
	}
}
