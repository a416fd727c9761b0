package pipeline

import (
	"regexp"

	"gopkg.in/yaml.v3"
)

// defaultBase is where FreeBSD's own CI publishes what it has built.
const defaultBase = "https://artifact.ci.freebsd.org"

// loaderSetting is one setting of loader.conf(5) without quotes.
var loaderSetting = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]*=[^"]*$`)

func (r *reader) target(name string, key, n *yaml.Node) Target {
	t := Target{Name: name}
	what := "target " + quote(name)
	seen := r.fields(key, n, what, map[string]field{
		"os":        r.choice(&t.OS, "linux", "freebsd"),
		"arch":      r.choice(&t.Arch, "amd64", "arm64"),
		"source":    r.choice(&t.Source, "package", "tree", "artifacts"),
		"kernel":    r.text(&t.Kernel, checkKernel),
		"base":      r.text(&t.Base, checkBase),
		"config":    r.text(&t.Config, checkConfig),
		"fragments": r.texts(&t.Fragments, "lines", checkFragment),
		"world":     r.flag(&t.World),

		"test_image": r.flag(&t.TestImage),
		"boot":       r.choice(&t.Boot, "direct", "loader"),
		"overlay":    r.text(&t.Overlay, checkOverlay),
		"cmdline":    r.arguments(&t.Cmdline),
		"modules":    r.texts(&t.Modules, "kernel modules", checkModule),
	}, "os", "arch", "source")
	if seen != nil {
		r.checkOS(t, what, seen)
		r.checkSource(t, key, what, seen)
		r.checkTestImage(t, what, seen)
	}
	if t.Source == "artifacts" && t.Base == "" {
		t.Base = defaultBase
	}
	if t.Boot == "" {
		// The loader works for every FreeBSD; a direct boot would on later trees only.
		t.Boot = map[string]string{"linux": "direct", "freebsd": "loader"}[t.OS]
	}
	return t
}

// checkOS notes what a target's operating system cannot have. A word that was
// wrong is empty here, and has been noted.
func (r *reader) checkOS(t Target, what string, seen map[string]*yaml.Node) {
	switch {
	case t.OS == "linux" && (t.Source == "tree" || t.Source == "artifacts"):
		r.add(seen["source"], "%s: source %s is not supported for linux: expected package", what, t.Source)
	case t.OS == "freebsd" && t.Source == "package":
		r.add(seen["source"], "%s: source package is not supported for freebsd: expected tree or artifacts", what)
	}
	if t.OS == "freebsd" {
		for i, a := range t.Cmdline {
			if !loaderSetting.MatchString(a) {
				r.add(seen["cmdline"], "%s: cmdline, item %d: expected a setting of loader.conf, such as kern.hz=1000, found %s", what, i+1, quote(a))
			}
		}
	}
	if t.OS == "linux" && t.World {
		r.add(seen["world"], "%s: world is not supported for linux: its userland is the agent", what)
	}
	if t.OS == "linux" && t.Boot == "loader" {
		r.add(seen["boot"], "%s: boot loader is not supported for linux: expected direct", what)
	}
	if t.OS == "freebsd" && t.Boot == "direct" {
		r.add(seen["boot"], "%s: boot direct is not supported for freebsd: expected loader", what)
	}
}

// checkTestImage notes what an image that is taken as it is cannot have.
func (r *reader) checkTestImage(t Target, what string, seen map[string]*yaml.Node) {
	if !t.TestImage {
		return
	}
	for _, key := range []string{"world", "modules"} {
		if seen[key] != nil {
			r.add(seen[key], "%s: %s does not go with test_image: the image is taken as it was published", what, key)
		}
	}
}

// checkSource notes keys that a target's source needs and lacks, or cannot use.
func (r *reader) checkSource(t Target, key *yaml.Node, what string, seen map[string]*yaml.Node) {
	if t.Source == "" {
		return
	}
	belongs := []struct {
		key, source string
		needed      bool
	}{
		{"kernel", "package", true},
		{"base", "artifacts", false},
		{"test_image", "artifacts", false},
		{"config", "tree", true},
		{"fragments", "tree", false},
	}
	for _, b := range belongs {
		switch {
		case seen[b.key] != nil && t.Source != b.source:
			r.add(seen[b.key], "%s: %s belongs to source %s, and source is %s", what, b.key, b.source, t.Source)
		case seen[b.key] == nil && t.Source == b.source && b.needed:
			r.add(key, "%s lacks the key %s, which source %s needs", what, b.key, b.source)
		}
	}
}
