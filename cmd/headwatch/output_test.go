package main

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/headwatch/headwatch/orchestrator"
)

// TestWhatBrokeAndWasTold: what the rig broke counts until the same is told after
// all, and nothing else makes up for it.
func TestWhatBrokeAndWasTold(t *testing.T) {
	const head = "0123456789abcdef"
	build := func(target, status string) orchestrator.Event {
		return orchestrator.Event{Kind: orchestrator.EventBuild, Job: "build-1-" + target, Commit: head, Target: target, Status: status, Reason: "disk full"}
	}
	run := func(job, status string) orchestrator.Event {
		return orchestrator.Event{Kind: orchestrator.EventRun, Job: job, Run: job, Commit: head, Target: "guest", Status: status, Reason: "qemu died"}
	}
	const smoke, tcp = "run-1-2-small-smoke-smoke-", "run-1-2-small-tcp-smoke-"
	for _, tc := range []struct {
		name   string
		events []orchestrator.Event
		want   []string
	}{
		{"nothing", nil, []string{}},
		{"all well", []orchestrator.Event{build("guest", "passed"), run(smoke+"0", "passed")}, []string{}},
		{"broke and was done again", []orchestrator.Event{build("guest", "broken"), build("guest", "passed"), run(smoke+"0", "broken"), run(smoke+"1", "failed")}, []string{}},
		{"broke to the end", []orchestrator.Event{build("guest", "broken"), build("guest", "broken")}, []string{"build of 0123456789ab for guest: disk full"}},
		{"another target does not make up for it", []orchestrator.Event{build("guest", "broken"), build("guest-6", "passed")}, []string{"build of 0123456789ab for guest: disk full"}},
		{"nor another suite", []orchestrator.Event{run(tcp+"0", "broken"), run(smoke+"0", "passed")}, []string{"run " + tcp + "0 of 0123456789ab for guest: qemu died"}},
		{"not to be had", []orchestrator.Event{build("guest", "skipped")}, []string{"build of 0123456789ab for guest: disk full"}},
		{"a run that skips all has told", []orchestrator.Event{run(smoke+"0", "skipped")}, []string{}},
		{"other events", []orchestrator.Event{{Kind: orchestrator.EventResult, Case: "smoke/cpus", Status: "broken"}}, []string{}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var tally eventTally
			for _, e := range tc.events {
				tally.count(e)
			}
			if d := cmp.Diff(tc.want, tally.rigErrors()); d != "" {
				t.Errorf("rig errors (-want +got):\n%s", d)
			}
		})
	}
}
