package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/headwatch/headwatch/suites"
	"github.com/headwatch/headwatch/web/api"
)

// ran is a run with a boot and results: name=status.
func ran(results ...string) api.Run {
	r := api.Run{Run: "r1", Suite: "s"}
	for _, text := range results {
		name, status, _ := strings.Cut(text, "=")
		r.Results = append(r.Results, api.Result{Case: name, Status: status})
	}
	return r
}

func TestDifferences(t *testing.T) {
	for name, c := range map[string]struct {
		was, is api.Run
		only    string
		want    []string
	}{
		"the same":         {ran("boot=passed", "s/a=failed"), ran("boot=passed", "s/a=failed"), "", nil},
		"another status":   {ran("s/a=failed"), ran("s/a=passed"), "", []string{"s/a was failed in run r1 and is passed now"}},
		"a case is gone":   {ran("s/a=passed", "s/b=passed"), ran("s/a=passed"), "", []string{"s/b was passed in run r1 and is absent now"}},
		"a case is new":    {ran("s/a=passed"), ran("s/a=passed", "s/b=failed"), "", []string{"s/b was absent in run r1 and is failed now"}},
		"one case only":    {ran("boot=passed", "s/a=failed", "s/b=passed"), ran("boot=passed", "s/a=failed"), "a", nil},
		"it is gone":       {ran("s/a=failed", "s/b=passed"), ran("boot=passed"), "a", []string{"s/a was failed in run r1 and is absent now"}},
		"boot told before": {ran("s/a=passed"), ran("boot=passed", "s/a=passed"), "", nil},
		"boot told then":   {ran("boot=passed", "s/a=passed"), ran("s/a=passed"), "", nil},
		"boot fails now":   {ran("boot=passed"), ran("boot=failed"), "", []string{"boot was passed in run r1 and is failed now"}},
	} {
		if diff := cmp.Diff(c.want, differences(c.was, c.is, c.only)); diff != "" {
			t.Errorf("%s:\n%s", name, diff)
		}
	}
}

func TestCompare(t *testing.T) {
	was := api.Run{Seed: 3, Image: "sha256:1", Monitor: "QEMU 7.2", Accel: "tcg", BootID: "b1",
		Command: `qemu -smp 2 -kernel /state/scratch/run-1/image/kernel -append 'console=ttyS0 init=/agent' -netdev stream,addr.path=/tmp/x/net0.sock`}
	is := was
	is.BootID, is.Command = "b2", strings.NewReplacer("/state/scratch/run-1", "/var/hw/scratch/hand-0", "/tmp/x", "/run/y").Replace(was.Command)
	other := func(all []comparison) (names []string) {
		for _, c := range all {
			if !c.Same {
				names = append(names, c.What)
			}
		}
		return names
	}
	if got := other(compare(was, is)); !cmp.Equal(got, []string{"boot"}) {
		t.Errorf("in other folders: %q", got)
	}
	is.Monitor, is.Seed, is.Command = "QEMU 8.0", 4, strings.Replace(is.Command, "-smp 2", "-smp 4", 1)
	all := compare(was, is)
	if got := other(all); !cmp.Equal(got, []string{"seed", "monitor", "command", "boot"}) {
		t.Errorf("differ: %q", got)
	}
	var out bytes.Buffer
	(&reproduction{Then: all, Times: 2, Failed: 1, Statuses: []string{"passed", "failed"}}).print(&out, "r1")
	for _, want := range []string{"1 of 2 failed\n", "monitor was QEMU 7.2 and is QEMU 8.0\n", "seed was 3 and is 4\n", "as then: image sha256:1, accel tcg\n"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is not in\n%s", want, out.String())
		}
	}
	if got := compare(api.Run{Seed: 1}, api.Run{Seed: 1}); len(got) != 1 {
		t.Errorf("of a kernel that did not boot: %+v", got)
	}
}

func TestReproductionCounts(t *testing.T) {
	var p reproduction
	for _, status := range []string{"passed", "failed", "broken", "failed"} {
		p.count(handRun{Run: api.Run{Status: status}})
	}
	if p.Failed != 2 || p.shown != 1 || len(p.Statuses) != 4 {
		t.Errorf("%+v", p)
	}
}

func TestCaseOf(t *testing.T) {
	cases := []suites.Case{{Name: "a"}, {Name: "b"}}
	for given, want := range map[string]string{"a": "a", "s/b": "b"} {
		if got, err := caseOf("r1", "s", given, cases); got != want || err != nil {
			t.Errorf("%s: %q, %v", given, got, err)
		}
	}
	if _, err := caseOf("r1", "s", "part", cases); err == nil || !strings.Contains(err.Error(), `no case "part"; it has a, b`) {
		t.Errorf("%v", err)
	}
}
