package freebsd

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/headwatch/headwatch/runners"
)

const (
	ident         = "HEADWATCH"
	maxConfig     = 1 << 20 // bytes of a configuration file of the user
	maxFragment   = 1 << 10 // bytes of one line
	maxFragments  = 1 << 10 // lines
	configNameLen = 12      // hex digits in a configuration's name
)

// agentLines are what a guest needs to reach its disk, its agent and its wire,
// and to say what went wrong. A line that the configuration has already is no
// error, and changes nothing.
var agentLines = []string{
	"device pci", "device virtio", "device virtio_pci", "device virtio_blk", "device virtio_console",
	"device virtio_random", "device vtnet", "device md",
	"options FFS", "options MD_ROOT", "options TMPFS", "options GEOM_PART_GPT", "options GEOM_LABEL",
	"options KDB", "options DDB",
}

// kernelConfig is a kernel configuration made of one of the tree, or of a file
// of the user, what the agent needs, and the recipe's fragments.
type kernelConfig struct {
	name      string // of its file, and of the folder of its objects
	base      string // name of the tree's configuration, or path of the user's file
	own       []byte // the user's file; nil: base is the tree's
	fragments []string
	text      string
}

var configName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.-]*$`)

// ownFile says whether a recipe's Config is the path of a file, not a name in
// the tree: then it has a separator. Relative paths are from where we run.
func ownFile(config string) bool { return strings.ContainsRune(config, filepath.Separator) }

// readOwnConfig reads the configuration file of a recipe that names one.
func readOwnConfig(r runners.Recipe) ([]byte, error) {
	if !ownFile(r.Config) {
		return nil, nil
	}
	fail := func(err error) ([]byte, error) {
		return nil, &runners.InfraError{Op: "kernel configuration " + r.Config, Err: err, Hint: "give --kernconf a readable file"}
	}
	in, err := os.Open(r.Config)
	if err != nil {
		return fail(err)
	}
	defer in.Close()
	text, err := io.ReadAll(io.LimitReader(in, maxConfig+1))
	if err != nil {
		return fail(err)
	}
	if len(text) > maxConfig {
		return fail(fmt.Errorf("more than %d bytes", maxConfig))
	}
	return append([]byte{}, text...), nil
}

// newKernelConfig merges a recipe's configuration. own is what readOwnConfig
// returned.
func newKernelConfig(r runners.Recipe, own []byte) (kernelConfig, error) {
	c := kernelConfig{base: r.Config, own: own, fragments: r.Fragments}
	if c.base == "" {
		c.base = "GENERIC"
	}
	if own == nil && !configName.MatchString(c.base) {
		return c, recipeError(r, "kernel configuration %q: expected a name, as GENERIC, or the path of a file", c.base)
	}
	if len(r.Fragments) > maxFragments {
		return c, recipeError(r, "%d fragments: at most %d", len(r.Fragments), maxFragments)
	}
	for i, line := range r.Fragments {
		if len(line) > maxFragment || bytes.ContainsAny([]byte(line), "\n\r\x00") {
			return c, recipeError(r, "fragment %d: expected one line of at most %d bytes", i+1, maxFragment)
		}
	}
	sum := digest(fmt.Appendf(nil, "%q %q %q %q", c.base, own, r.Fragments, r.Modules))
	c.name = ident + "-" + sum[:configNameLen]
	include := c.base
	if own != nil {
		include = c.ownName()
	}
	lines := append([]string{"include " + include, "ident " + ident}, agentLines...)
	c.text = strings.Join(append(lines, c.fragments...), "\n") + "\n"
	return c, nil
}

// ownName is the name that the user's file has beside the merged one.
func (c kernelConfig) ownName() string { return c.name + ".base" }

// write puts the configuration into the folder dir. A file that is right keeps
// its time.
func (c kernelConfig) write(dir string) error {
	err := writeIfChanged(filepath.Join(dir, c.name), []byte(c.text))
	if c.own != nil {
		err = errors.Join(err, writeIfChanged(filepath.Join(dir, c.ownName()), c.own))
	}
	return err
}

func writeIfChanged(name string, text []byte) error {
	if old, err := os.ReadFile(name); err == nil && bytes.Equal(old, text) {
		return nil
	}
	return os.WriteFile(name, text, 0o644)
}

// configFault is what config(8) objected to.
type configFault struct {
	File string // as printed; empty: it names none
	Line int    // 0: it names none
	Word string // the option or device that it does not know
	Text string
}

var (
	faultAt     = regexp.MustCompile(`^config: (\S+):(\d+): (.+)$`)
	faultOption = regexp.MustCompile(`^(?:config: )?(\S+): unknown option "([^"]+)"`)
	faultDevice = regexp.MustCompile(`^(?:config: )?Error: device "([^"]+)" is unknown`)
	faultOther  = regexp.MustCompile(`^config: (.+)$`)
	faultCount  = regexp.MustCompile(`^config: \d+ errors$`)
)

// readConfigFault recognizes what config(8) prints before it gives up.
func readConfigFault(line string) (configFault, bool) {
	if m := faultOption.FindStringSubmatch(line); m != nil {
		return configFault{File: m[1], Word: m[2], Text: fmt.Sprintf("unknown option %q", m[2])}, true
	}
	if m := faultDevice.FindStringSubmatch(line); m != nil {
		return configFault{Word: m[1], Text: fmt.Sprintf("unknown device %q", m[1])}, true
	}
	if m := faultAt.FindStringSubmatch(line); m != nil {
		n, err := strconv.Atoi(m[2])
		return configFault{File: m[1], Line: n, Text: m[3]}, err == nil
	}
	if m := faultOther.FindStringSubmatch(line); m != nil && !faultCount.MatchString(line) {
		return configFault{Text: m[1]}, true
	}
	return configFault{}, false
}

// blame says whose line config(8) refused: a fragment's or a user's file's, then
// the recipe is wrong; else the tree's. An unknown word is looked for in the
// fragments first: what the tree says itself, the tree knows.
func (c kernelConfig) blame(f configFault) error {
	at, line := filepath.Base(f.File), f.Line
	if line == 0 && f.Word != "" {
		if i := slices.IndexFunc(c.fragments, func(l string) bool { return mentions(l, f.Word) }); i >= 0 {
			at, line = c.name, c.fragmentsStart()+i
		} else if i := slices.IndexFunc(strings.Split(string(c.own), "\n"), func(l string) bool { return mentions(l, f.Word) }); i >= 0 {
			at, line = c.ownName(), i+1
		} else {
			at = ""
		}
	}
	switch i := line - c.fragmentsStart(); {
	case at == c.name && i >= 0 && i < len(c.fragments):
		return &runners.InfraError{
			Op:   "kernel configuration",
			Err:  fmt.Errorf("fragment %d, %q: %s", i+1, c.fragments[i], f.Text),
			Hint: "correct the target's config_fragments in pipelines.yaml",
		}
	case c.own != nil && at == c.ownName():
		return &runners.InfraError{
			Op:   "kernel configuration",
			Err:  fmt.Errorf("%s:%d: %s", c.base, line, f.Text),
			Hint: "correct the file",
		}
	case line == 0:
		return &runners.BuildError{Reason: fmt.Sprintf("config %s: %s", c.base, f.Text)}
	}
	return &runners.BuildError{Reason: fmt.Sprintf("%s:%d: %s", f.File, f.Line, f.Text)}
}

// fragmentsStart is the number of the line that the first fragment has.
func (c kernelConfig) fragmentsStart() int { return 2 + len(agentLines) + 1 }

// mentions says whether a configuration line has word as a word, in any case: it
// is config(8) who makes FOO of DEV_FOO and the other way round.
func mentions(line, word string) bool {
	line, _, _ = strings.Cut(line, "#")
	return slices.ContainsFunc(strings.FieldsFunc(line, func(r rune) bool {
		return strings.ContainsRune(" \t,=\"", r)
	}), func(w string) bool { return strings.EqualFold(w, word) })
}

// checkConfig makes sure that the tree has the configuration and the modules.
func (c kernelConfig) check(r runners.Recipe, src string, t target) error {
	dir := filepath.Join(src, "sys", t.machine, "conf")
	if c.own == nil && !exists(filepath.Join(dir, c.base)) {
		names := []string{}
		entries, err := os.ReadDir(dir)
		if err != nil {
			return &runners.BuildError{Reason: fmt.Sprintf("sys/%s/conf: no such folder in this tree", t.machine)}
		}
		for _, e := range entries {
			if n := e.Name(); n == strings.ToUpper(n) && n != "DEFAULTS" && n != "NOTES" {
				names = append(names, n)
			}
		}
		return recipeError(r, "kernel configuration %q: sys/%s/conf has %s", c.base, t.machine, strings.Join(names, ", "))
	}
	for _, m := range r.Modules {
		if !exists(filepath.Join(src, "sys/modules", m, "Makefile")) {
			return recipeError(r, "module %q: the tree has no sys/modules/%s; name the folder below sys/modules", m, m)
		}
	}
	return nil
}

// recipeError says that the pipeline, not the source, asks for what cannot be.
func recipeError(r runners.Recipe, format string, args ...any) error {
	return &runners.InfraError{
		Op:   fmt.Sprintf("recipe for %s/%s", r.OS, r.Arch),
		Err:  fmt.Errorf(format, args...),
		Hint: "correct the target in pipelines.yaml",
	}
}
