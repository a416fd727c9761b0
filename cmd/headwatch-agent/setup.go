//go:build linux || freebsd

package main

import (
	"context"
	"encoding/json"
	"maps"

	"github.com/headwatch/headwatch/runners/guest"
	"github.com/headwatch/headwatch/runners/guest/renewal"
	"github.com/headwatch/headwatch/suites"
	terminals "github.com/headwatch/headwatch/suites/console/guest"
	kernel "github.com/headwatch/headwatch/suites/kernel/guest"
	kyua "github.com/headwatch/headwatch/suites/kyua/guest"
	race "github.com/headwatch/headwatch/suites/race/guest"
	smoke "github.com/headwatch/headwatch/suites/smoke/guest"
	superpage "github.com/headwatch/headwatch/suites/superpage/guest"
	tcp "github.com/headwatch/headwatch/suites/tcp/guest"
)

// setup is what became of preparing the system. A step that failed is reported
// and not fatal: the kernel under test may have lost just that.
type setup struct {
	Steps   []step `json:"steps"` // mounts and the loopback
	Modules []step `json:"modules"`
	Sysctls []step `json:"sysctls"`
}

// step is one thing that was done; an empty error is success.
type step struct {
	What  string `json:"what"`
	Error string `json:"error,omitempty"`
}

func did(what string, err error) step {
	if err != nil {
		return step{what, err.Error()}
	}
	return step{What: what}
}

// faults are the steps that failed, one line each.
func (s setup) faults() []string {
	var lines []string
	for _, steps := range [][]step{s.Steps, s.Modules, s.Sysctls} {
		for _, step := range steps {
			if step.Error != "" {
				lines = append(lines, step.What+": "+step.Error)
			}
		}
	}
	return lines
}

// prepare does what a first process does for the programs after it.
func prepare(c config) setup {
	s := setup{Steps: mountAll(), Modules: []step{}, Sysctls: []step{}}
	for _, path := range c.Modules {
		s.Modules = append(s.Modules, did(path, loadModule(path)))
	}
	for _, kv := range c.Sysctls {
		s.Sysctls = append(s.Sysctls, did(kv[0]+"="+kv[1], setSysctl(kv[0], kv[1])))
	}
	s.Steps = append(s.Steps, did("loopback", loopbackUp()))
	return s
}

// info is the answer of agent/info.
type info struct {
	Control string `json:"control"` // "virtio" or "serial"
	Device  string `json:"device"`
	setup
}

// operations are everything that this agent can do, by name. Suites add theirs
// here.
func operations(c control, s setup, tests *kyua.Runs) map[string]guest.Operation {
	ops := map[string]guest.Operation{
		"agent/info": func(context.Context, json.RawMessage) (any, error) {
			return info{c.kind, c.device, s}, nil
		},
	}
	maps.Copy(ops, renewal.Operations())
	for _, suite := range []map[string]suites.Operation{kernel.Operations(), smoke.Operations(), race.Operations(), tests.Operations(), tcp.Operations(), terminals.Operations(), superpage.Operations()} {
		for name, op := range suite {
			ops[name] = op
		}
	}
	return ops
}
