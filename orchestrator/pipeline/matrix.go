package pipeline

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/headwatch/headwatch/suites"
)

// maxCells bounds the matrix: more than a lab can test, and few enough to check.
const maxCells = 10_000

// cloudLacks are the models that Debian's cloud kernel has no driver for.
var cloudLacks = []string{"e1000", "e1000e", "igb", "rtl8139"}

// Drives says whether a target's kernel has a driver for a NIC model, as far as
// that is known without the kernel: without one, the guest has no such NIC.
func (t Target) Drives(model string) bool {
	return t.OS != "linux" || t.Kernel != "cloud" || !slices.Contains(cloudLacks, model)
}

// resolveMatrix turns the entries as written into entries of the file, and notes
// combinations that cannot be.
func (r *reader) resolveMatrix() {
	cells, over := 0, false
	lines := map[place]int{}
	for _, b := range r.blocks {
		e := Entry{
			Upstreams: resolveNames(r, "upstream", b.upstreams, r.file.Upstreams),
			Targets:   resolveNames(r, "target", b.targets, r.file.Targets),
			Machines:  resolveNames(r, "machine", b.machines, r.file.Machines),
			Layers:    r.resolveLayers(b.layers),
		}
		r.file.Matrix = append(r.file.Matrix, e)
		if over {
			continue
		}
		cells += len(e.Upstreams) * len(e.Targets) * len(e.Machines)
		if over = cells > maxCells; over {
			r.add(b.at, "matrix: expected at most %d cells, and there are %d up to this entry", maxCells, cells)
			continue
		}
		r.checkDrivers(b)
		r.checkRequirements(b, e.Layers)
		r.checkOverlap(b, e, lines)
	}
}

// checkDrivers notes machines with a device that a target's kernel cannot drive.
func (r *reader) checkDrivers(b block) {
	for _, t := range b.targets {
		target := r.file.Targets[t.name]
		for _, m := range b.machines {
			for _, nic := range r.file.Machines[m.name].NICs {
				if !target.Drives(nic.Model) {
					r.add(m.at, "machine %s has a nic %s, for which target %s has no driver in its cloud kernel: expected virtio-net or vmxnet3, or kernel: generic",
						quote(m.name), nic.Model, quote(t.name))
					break
				}
			}
		}
	}
}

// checkRequirements notes machines that lack what a suite of the entry asks for.
func (r *reader) checkRequirements(b block, layers []suites.Layer) {
	for _, m := range b.machines {
		machine, ok := r.file.Machines[m.name]
		if !ok {
			continue
		}
		for _, layer := range layers {
			for _, suite := range r.file.Layers[layer].Suites {
				for _, need := range r.known.Requires[suite][layer] {
					if has := lacks(machine, need); has != "" {
						r.add(m.at, "machine %s has %s, and suite %s in layer %s requires %s", quote(m.name), has, suite, layer, need)
					}
				}
			}
		}
	}
}

// lacks says what a machine has instead of a requirement, or "" when it meets
// it. accel: auto may turn out as kvm: only the run can tell.
func lacks(m Machine, need string) string {
	if smp, ok := strings.CutPrefix(need, "smp>="); ok {
		if least, err := strconv.Atoi(smp); err == nil && m.SMP < least {
			return "smp " + strconv.Itoa(m.SMP)
		}
	}
	switch {
	case need == "kvm" && m.Accel == "tcg":
		return "accel tcg"
	case strings.HasPrefix(need, "line:") && !slices.Contains(m.Lines, strings.TrimPrefix(need, "line:")):
		return "no serial " + need
	case need == "virtual-time" && m.Clock != "virtual":
		return "the host's clock"
	}
	return ""
}

// place is a cell without its layers.
type place struct{ upstream, target, machine string }

func (p place) String() string { return p.upstream + " × " + p.target + " × " + p.machine }

// checkOverlap notes cells that earlier entries have, once for each such entry.
// lines holds the line of the entry that has a cell; it is added to.
func (r *reader) checkOverlap(b block, e Entry, lines map[place]int) {
	twice := map[int][]place{}
	for _, c := range e.cells() {
		p := place{c.Upstream, c.Target, c.Machine}
		if line, ok := lines[p]; ok {
			twice[line] = append(twice[line], p)
		} else {
			lines[p] = b.at.Line
		}
	}
	for _, line := range slices.Sorted(maps.Keys(twice)) {
		more := ""
		if n := len(twice[line]) - 1; n > 0 {
			more = " and " + strconv.Itoa(n) + " more"
		}
		r.add(b.at, "matrix: %s%s is in the entry on line %d already: expected each cell once, with all its layers", twice[line][0], more, line)
	}
}
