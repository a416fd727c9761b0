package console

import (
	"strings"
	"testing"
)

func TestAgentEnd(t *testing.T) {
	for text, want := range map[string]string{
		"headwatch-agent: agent ended: exit status 2; powering off without an end marker\r\n": "agent ended: exit status 2",
		"x\nheadwatch-agent: panic: nil map; powering off without an end marker":              "panic: nil map",
		"headwatch-agent: agent ended: killed\n; powering off without an end marker":          "",
		"reboot: Power down\n": "",
		"headwatch-agent: " + strings.Repeat("x", 300) + "; powering off without an end marker": "",
	} {
		if got := AgentEnd(text); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
		l := New(Options{})
		l.Write([]byte(text))
		if c := l.Crashes(); len(c) != 0 {
			t.Errorf("%q: the agent's end is no crash: %+v", text, c)
		}
	}
}

func TestStalls(t *testing.T) {
	for text, want := range map[string]bool{
		"watchdog: BUG: soft lockup - CPU#1 stuck for 26s! [swapper/1:0]\nRIP: 0010:default_idle+0x5/0x10\n":            true,
		"NMI watchdog: Watchdog detected hard LOCKUP on cpu 0\n":                                                        true,
		"rcu: INFO: rcu_preempt detected stalls on CPUs/tasks:\n":                                                       true,
		"rcu: INFO: rcu_sched self-detected stall on CPU\n":                                                             true,
		"rcu: rcu_preempt kthread starved for 5000 jiffies! g1 f0x0\n":                                                  true,
		"BUG: workqueue lockup - pool cpus=1 node=0 flags=0x0 nice=0 stuck for 31s!\n":                                  true,
		"INFO: task kworker/1:1:42 blocked for more than 120 seconds.\n":                                                true,
		"watchdog: BUG: soft lockup - CPU#1 stuck for 26s! [a:1]\nKernel panic - not syncing: softlockup: hung tasks\n": true,
		"panic: spin lock held too long\n":                                                                              false,
		"BUG: kernel NULL pointer dereference, address: 0000000000000000\n":                                             false,
		"lock order reversal:\n 1st a @ b.c:1\n":                                                                        false,
	} {
		l := New(Options{})
		l.Write([]byte(text))
		if c := l.Crashes(); len(c) != 1 || c[0].Stall != want {
			t.Errorf("%q: %+v: want one crash, stall %v", text, c, want)
		}
	}
}
