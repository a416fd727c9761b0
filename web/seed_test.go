package web_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/headwatch/headwatch/orchestrator"
	"github.com/headwatch/headwatch/suites"
)

// clock is the time at which every seeded page is read.
var clock = time.Date(2026, 3, 14, 6, 30, 0, 0, time.UTC)

func now() time.Time { return clock }

// night is a morning's store: nine commits, of which the fifth from the top
// breaks loss recovery in TCP. People and faults are made up.
type night struct {
	*world
	commits                               []orchestrator.Commit // newest first
	passedRun, failedRun, liveRun, rigRun string
}

const (
	bsd   = "freebsd-amd64"
	cloud = "linux-cloud"
)

func seeded(t testing.TB) *night {
	t.Helper()
	n := &night{world: newWorld(t)}
	n.seedCommits()
	for i := range n.commits[:8] {
		n.seedPoint(i, bsd, "lean")
		n.seedPoint(i, cloud, "lean", "smp4")
	}
	c := n.commits
	n.regress(orchestrator.Regression{
		Upstream: "freebsd", Target: bsd, Machine: "lean", Case: "tcp/loss_recovery", State: orchestrator.Located,
		Good: c[5].Hash, Bad: c[4].Hash, Culprit: c[4].Hash, Confidence: 0.99973,
		Reason: "4 of 64 segments were never sent again; the flow stood still for 38.2 s", Run: n.failedRun,
		Opened: clock.Add(-3 * time.Hour), Closed: clock.Add(-time.Hour),
	})
	n.regress(orchestrator.Regression{
		Upstream: "freebsd", Target: cloud, Machine: "smp4", Case: "console/panic_race", State: orchestrator.Suspected,
		Good: c[6].Hash, Bad: c[1].Hash, Reason: "kernel BUG at drivers/tty/hvc/hvc_console.c",
		Run: n.rigRun, Opened: clock.Add(-20 * time.Minute),
	})
	return n
}

func (n *night) seedCommits() {
	for i, s := range []struct{ author, subject string }{
		{"Ines Moreau", "vm_pageout: Fix a lost wakeup in vm_pageout_helper()"},
		{"Tomas Lind", "tcp: improve consistency of syncache log messages"},
		{"Bartholomew Featherstone", "amd64: do not leak the PKRU range on failed vm_map_protect()"},
		{"Li Na", "man: mention that ktrace(1) follows fork with -i, and reorder the options by how often people ask about them"},
		{"Oluwaseun Adeyemi", "tcp: rack: account for SACKed bytes in recovery"},
		{"Hana Sato", "tcp: remove unused tcpcb field"},
		{"Pia Berg", "pf: use a counter for state insertion failures"},
		{"Noor Khan", "bridge(4): Fix a potential use-after-free"},
		{"Jo Doe", "arm64: Support the FEAT_LSE2 hwcap"},
	} {
		n.commits = append(n.commits, orchestrator.Commit{
			Upstream: "freebsd", Hash: strings.Repeat(fmt.Sprintf("%x%d%x7", 15-i, i, (i*7)%16), 10), Position: 294411 - i,
			Author: s.author, Subject: s.subject, Time: clock.Add(-time.Duration(i*47+9) * time.Minute),
		})
	}
	for i := range n.commits[:8] {
		n.commits[i].Parent = n.commits[i+1].Hash
	}
	n.must(n.db.AddUpdate(n.t.Context(), "freebsd", orchestrator.Update{New: n.commits}))
}

func digest(i int, target string) string {
	return strings.Repeat(fmt.Sprintf("%d%x%02d", i+1, i*5%16, len(target)), 16)
}

// seedPoint fills one commit on one target. Commit 2 changes nothing that is
// built, so it shares the build of commit 3; commit 7 does not build for FreeBSD.
func (n *night) seedPoint(i int, target string, machines ...string) {
	from := i
	if i == 2 {
		from = 3
	}
	c := n.commits[from]
	n.must(n.db.SetInputs(n.t.Context(), target, "salt", map[string]string{n.commits[i].Hash: digest(from, target)}))
	if from != i {
		return
	}
	b := orchestrator.Build{ID: digest(from, target), Target: target, Commit: c.Hash, OS: strings.Split(target, "-")[0],
		Status: suites.Passed, Image: "sha256:" + digest(from, target), Duration: 118 * time.Second, Finished: c.Time.Add(4 * time.Minute)}
	switch {
	case i == 0:
		n.build(orchestrator.Build{ID: b.ID, Target: target, Commit: c.Hash})
		return
	case i == 7 && target == bsd:
		b.Status, b.Image, b.Reason = suites.Failed, "", "sys/net/if_bridge.c:2811:14: error: use of undeclared identifier 'bif'"
	}
	n.build(b)
	if b.Image == "" {
		return
	}
	for _, machine := range machines {
		for _, suite := range []string{"smoke", "tcp", "console"} {
			n.seedRun(i, b, machine, suite)
		}
	}
}

func (n *night) seedRun(i int, b orchestrator.Build, machine, suite string) {
	j := orchestrator.Job{Commit: b.Commit, Target: b.Target, Build: b.ID, Image: b.Image, Machine: machine, Suite: suite, Seed: 1234567}
	boot := suites.Result{Case: orchestrator.CaseBoot, Status: suites.Passed, Duration: 8412 * time.Millisecond, Metrics: map[string]float64{"boot_s": 8.412}}
	one := suites.Result{Case: map[string]string{"smoke": "smoke/version", "tcp": "tcp/loss_recovery", "console": "console/write"}[suite], Status: suites.Passed, Duration: 2130 * time.Millisecond}
	began := n.commits[i].Time.Add(5 * time.Minute)
	r := orchestrator.Run{Started: began, Finished: began.Add(64 * time.Second), BootTime: boot.Duration, Accel: "kvm", Monitor: "QEMU 7.2.22",
		Kernel: "FreeBSD 15.0-CURRENT #0 main-n294407", BootID: "6e0f2d0c-5d0f-4b1e-9a53-70a3d1d0c0de", Console: "console/" + suite,
		Command: "qemu-system-x86_64 -nodefaults -no-user-config -display none -machine q35,accel=kvm -cpu max -smp 2 -m 512 " +
			"-kernel /var/lib/headwatch/scratch/image/kernel -chardev socket,id=agent,path=agent.sock -device virtserialport,chardev=agent"}
	switch {
	case i == 1 && b.Target == cloud && machine == "lean" && suite == "tcp":
		n.liveRun = n.begin(j, orchestrator.Run{Started: clock.Add(-42 * time.Second)}).ID
		n.must(n.db.AddResult(n.t.Context(), n.liveRun, boot))
	case i == 4 && b.Target == bsd && suite == "tcp":
		n.failedRun = n.run(j, r, lossResults(boot), lossCrash).ID
	case i < 4 && b.Target == bsd && suite == "tcp":
		one.Status, one.Reason = suites.Failed, "4 of 64 segments were never sent again"
		n.run(j, r, []suites.Result{boot, one}, map[int][]orchestrator.Crash{1: {lossCrash}, 3: {reversal}}[i]...)
	case i == 6 && machine == "smp4" && suite == "console":
		n.rigRun = n.run(j, orchestrator.Run{Started: r.Started, Finished: r.Started.Add(time.Second), Status: suites.Broken,
			Reason: "start QEMU: no space left on device; free some space below the state directory"}, nil).ID
	case machine == "smp4" && suite == "smoke":
		one.Status, one.Reason = suites.Skipped, "only for freebsd, the guest is linux"
		n.run(j, r, []suites.Result{one})
	default:
		run := n.run(j, r, []suites.Result{boot, one})
		if i == 5 && b.Target == bsd && suite == "tcp" {
			n.passedRun = run.ID
		}
	}
}

func lossResults(boot suites.Result) []suites.Result {
	return []suites.Result{
		boot,
		{Case: "tcp/bulk", Status: suites.Passed, Duration: 1204 * time.Millisecond, Metrics: map[string]float64{"rate_bytes_per_s": 118342112, "completion_s": 0.8861}},
		{Case: "tcp/loss_recovery", Status: suites.Failed, Duration: 39400 * time.Millisecond, Metrics: map[string]float64{"completion_s": 38.2},
			Reason: "4 of 64 segments were never sent again; the flow stood still for 38.2 s"},
		{Case: "tcp/socket_leak", Status: suites.Failed, Duration: 5100 * time.Millisecond, Metrics: map[string]float64{"tcpcb_left": 212},
			Reason: "212 tcpcb are still in use after every connection was closed"},
		{Case: "tcp/ecn", Status: suites.ExpectedFailure, Duration: 311 * time.Millisecond, Reason: "known: PR 271234"},
		{Case: "tcp/tso", Status: suites.Skipped, Reason: "the NIC has no TSO here"},
	}
}

var lossCrash = orchestrator.Crash{Title: "panic: sbsndptr_adv: sbsndmbuf mismatch", Signature: "9b1f77aa0c2d4e5f", Kind: "fatal",
	Where: "sys/kern/uipc_sockbuf.c:1522",
	Frames: []orchestrator.Frame{{Func: "sbsndptr_adv", File: "sys/kern/uipc_sockbuf.c", Line: 1522},
		{Func: "tcp_m_copym", File: "sys/netinet/tcp_output.c", Line: 1921, Inlined: true},
		{Func: "tcp_default_output", File: "sys/netinet/tcp_output.c", Line: 1088}, {}},
	Text: "panic: sbsndptr_adv: sbsndmbuf mismatch\ncpuid = 1\nKDB: stack backtrace:\nvpanic() at vpanic+0x132/frame 0xfffffe0058\n" +
		"sbsndptr_adv() at sbsndptr_adv+0x7c/frame 0xfffffe005a [sys/kern/uipc_sockbuf.c:1522]\n" +
		"tcp_m_copym sys/netinet/tcp_output.c:1921 [inline]\n" +
		"tcp_default_output() at tcp_default_output+0x1f3a/frame 0xfffffe005b [sys/netinet/tcp_output.c:1088]\n"}

var reversal = orchestrator.Crash{Title: "lock order reversal: inp after sb", Signature: "77aa0c2d4e5f9b1f", Kind: "lock_order", Text: "lock order reversal:\n"}
