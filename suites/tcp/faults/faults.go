// Package faults plants faults in the TCP of a Linux guest, one at a time, so that the
// suite's cases can be seen to find them. Each is real: a kernel module (src/) changes
// what the guest's own TCP decides, sends, or frees. Where it hits follows from the
// seed of the case.
//
// The module is built with the headers of the guest's kernel, which set-up unpacks, and
// travels in the guest's files. It is loaded in the clone in which the case runs, and
// is gone with it.
package faults

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/headwatch/headwatch/suites"
	"github.com/headwatch/headwatch/suites/kernel"
	"github.com/headwatch/headwatch/suites/kernel/guest"
)

// Fault is one that the module can plant.
type Fault struct {
	Name    string // of the module's parameter
	Summary string
	// Case finds it: its name, or the beginning of one up to a "_".
	Case string
	// Every bounds how rare it is: it hits one occasion in so many, from 1 to Every, by
	// the seed.
	Every int
	// Quick says that the case ends soon when it finds the fault, whatever it may take.
	Quick bool
	// Chance is the percentage of machines that have it at all, drawn by the seed of the
	// case. 0: all.
	Chance int
	// Reason is a regular expression for what the case must say of it.
	Reason string
}

// None plants nothing, with the module loaded.
const None = "none"

// ModulePath is where the guest finds the module.
const ModulePath = "/faults/hw_tcp.ko"

const parameters = "/sys/module/hw_tcp/parameters/"

// Finds says whether a case is the one that must find the fault.
func (f Fault) Finds(name string) bool {
	return name == f.Case || strings.HasPrefix(name, f.Case+"_")
}

// In is the case with the fault planted before it begins. It measures fault_planted,
// whether the machine has it, and fault_hits, how often it hit; and it is broken when it
// finds nothing because there was nothing to find.
func (f Fault) In(c suites.Case) suites.Case {
	run := c.Run
	c.Name = f.Name + "_in_" + c.Name
	c.Run = func(ctx context.Context, t *suites.T) error {
		if err := f.plant(ctx, t); err != nil {
			return err
		}
		err := run(ctx, t)
		planted, hits, unread := state(ctx, t.Guest)
		t.Metrics["fault_planted"], t.Metrics["fault_hits"] = planted, hits
		switch {
		case unread != nil:
			return errors.Join(fmt.Errorf("fault %s: how often it hit: %w", f.Name, unread), err)
		case err == nil && hits == 0 && planted == 1:
			return fmt.Errorf("fault %s never hit: the case gave it no occasion", f.Name)
		}
		return err
	}
	return c
}

// plant loads the module.
func (f Fault) plant(ctx context.Context, t *suites.T) error {
	if t.Guest.OS() != "linux" {
		return suites.Skipf("fault %s is for Linux guests, this one is %s", f.Name, t.Guest.OS())
	}
	every := 1 + t.Rand.IntN(max(f.Every, 1))
	t.Metrics["fault_every"] = float64(every)
	chance := f.Chance
	if chance == 0 {
		chance = 100
	}
	args := guest.ModuleLoadArgs{Path: ModulePath, Params: fmt.Sprintf("fault=%s seed=%d every=%d chance=%d", f.Name, t.Rand.Uint64()|1, every, chance)}
	var loaded guest.ModuleLoaded
	err := t.Guest.Call(ctx, guest.OpModuleLoad, args, &loaded)
	var refused interface{ KernelRefused() string }
	switch {
	case errors.As(err, &refused): // our module, not the kernel's mistake
		return fmt.Errorf("fault %s: the kernel does not take the module: %s", f.Name, refused.KernelRefused())
	case err != nil:
		return fmt.Errorf("fault %s: %w", f.Name, err)
	case loaded.Already:
		return fmt.Errorf("fault %s: this guest has the module already: it is no fresh one", f.Name)
	}
	return nil
}

// state says whether the machine has its fault, as 1 or 0, and how often it has hit.
func state(ctx context.Context, g suites.Guest) (planted, hits float64, err error) {
	has, err := kernel.File(ctx, g, parameters+"planted")
	if err != nil {
		return 0, 0, err
	}
	if strings.TrimSpace(string(has)) == "Y" {
		planted = 1
	}
	raw, err := kernel.File(ctx, g, parameters+"hits")
	if err != nil {
		return planted, 0, err
	}
	hits, err = strconv.ParseFloat(strings.TrimSpace(string(raw)), 64)
	return planted, hits, err
}
