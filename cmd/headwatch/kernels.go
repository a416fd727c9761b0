package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/headwatch/headwatch/orchestrator/pipeline"
	"github.com/headwatch/headwatch/runners/build/linux"
)

// checkKernels looks for the packaged kernels that targets are made of.
func checkKernels(targets []pipeline.Target) finding {
	f := finding{Check: "kernels", OK: true, Needed: true, Detail: "no target needs a packaged one", Fix: setupCommand}
	var have, missing []string
	for _, name := range packagedKernels(targets) {
		if version, ok := unpacked(name); ok {
			have = append(have, version)
		} else {
			missing = append(missing, fmt.Sprintf("%q", name))
		}
	}
	switch {
	case len(missing) > 0:
		f.OK = false
		f.Detail = fmt.Sprintf("no Linux kernel %s in %s", strings.Join(missing, ", "), linux.DefaultKernels())
	case len(have) > 0:
		f.Detail = strings.Join(have, ", ")
	}
	return f
}

// checkGuests says whether upstreams can be tested at all as far as packaged
// kernels go. What one target lacks is told when it is to be built, and does not
// keep the others waiting.
func checkGuests(file *pipeline.File, upstreams []string) finding {
	var targets []pipeline.Target
	for _, c := range file.Cells() {
		if slices.Contains(upstreams, c.Upstream) {
			targets = append(targets, file.Targets[c.Target])
		}
	}
	lacks := func(t pipeline.Target) bool { return !checkKernels([]pipeline.Target{t}).OK }
	if i := slices.IndexFunc(targets, func(t pipeline.Target) bool { return !lacks(t) }); i >= 0 {
		targets = targets[i : i+1]
	}
	return checkKernels(targets)
}

// packagedKernels lists the kernels of set-up that targets are made of, each once.
func packagedKernels(targets []pipeline.Target) []string {
	var out []string
	for _, t := range targets {
		if t.Source == "package" && !filepath.IsAbs(t.Kernel) {
			out = append(out, t.Kernel)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// unpacked says which version of a kernel set-up has unpacked.
func unpacked(name string) (version string, ok bool) {
	root := filepath.Join(linux.DefaultKernels(), name)
	text, err := os.ReadFile(filepath.Join(root, "VERSION"))
	images, globErr := filepath.Glob(filepath.Join(root, "boot", "vmlinuz-*"))
	if err != nil || globErr != nil || len(images) == 0 {
		return "", false
	}
	return strings.Join(strings.Fields(string(text)), " "), true
}
