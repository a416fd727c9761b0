package pipeline

import (
	"slices"
	"time"

	"github.com/headwatch/headwatch/suites"
	"gopkg.in/yaml.v3"
)

var requiredKeys = []string{"upstreams", "targets", "machines", "layers", "matrix"}

// suiteRef is a suite where a layer lists it. The layer is 0 if its name is
// wrong.
type suiteRef struct {
	ref
	layer suites.Layer
}

// block is an entry of the matrix as written.
type block struct {
	at                                   *yaml.Node
	upstreams, targets, machines, layers []ref
}

// pass is a schedule as written.
type pass struct {
	name              string
	upstreams, layers []ref
}

// readFile reads all sections. What they refer to is kept for resolve.
func (r *reader) readFile(root *yaml.Node) {
	f := r.file
	f.Upstreams, f.Targets, f.Machines = map[string]Upstream{}, map[string]Target{}, map[string]Machine{}
	f.Layers, f.Schedules, f.Notify = map[suites.Layer]Layer{}, map[string]Schedule{}, map[string]Sink{}
	r.fields(root, root, "the file", map[string]field{
		"upstreams": section(r, "upstream", f.Upstreams, r.upstream),
		"targets":   section(r, "target", f.Targets, r.target),
		"machines":  section(r, "machine", f.Machines, r.machine),
		"layers":    r.layers,
		"matrix":    r.matrix,
		"schedules": section(r, "schedule", f.Schedules, r.schedule),
		"notify":    section(r, "sink", f.Notify, r.sink),
		"kyua":      r.kyua,
	}, requiredKeys...)
}

func (r *reader) upstream(name string, key, n *yaml.Node) Upstream {
	u := Upstream{Name: name, Branch: "main", Poll: 5 * time.Minute, Commits: "newest", Backfill: 1}
	seen := r.fields(key, n, "upstream "+quote(name), map[string]field{
		"github":   r.text(&u.GitHub, checkGitHub),
		"git":      r.text(&u.Git, checkGit),
		"branch":   r.text(&u.Branch, checkBranch),
		"poll":     r.duration(&u.Poll),
		"commits":  r.choice(&u.Commits, "newest", "every"),
		"backfill": r.number(&u.Backfill, 1, 10_000),
	})
	r.exactlyOne(key, seen, "upstream "+quote(name), "github", "git")
	return u
}

func (r *reader) machine(name string, key, n *yaml.Node) Machine {
	m := Machine{Name: name, SMP: 2, Memory: 512, Accel: "auto", Control: "virtio"}
	r.fields(key, n, "machine "+quote(name), map[string]field{
		"smp":     r.number(&m.SMP, 1, 64),
		"memory":  r.memory(&m.Memory),
		"accel":   r.choice(&m.Accel, "auto", "kvm", "tcg"),
		"control": r.choice(&m.Control, "virtio", "serial"),
		"clock":   r.choice(&m.Clock, "host", "virtual"),
		"lines":   r.lines(&m.Lines),
		"nics":    r.nics(&m.NICs),
	})
	if m.Control == "serial" && len(m.Lines) > 0 {
		r.add(key, "machine %s: lines with control serial: expected control virtio, for the agent has the second UART", quote(m.Name))
	}
	if m.Clock == "host" {
		m.Clock = ""
	}
	r.checkClock(m, key)
	return m
}

// lines reads the serial lines besides the console.
func (r *reader) lines(into *[]string) field {
	return func(key string, n *yaml.Node) {
		r.items(n, key, "serial lines", func(item *yaml.Node) {
			var s string
			r.choice(&s, "uart", "virtio")(key, item)
			switch {
			case s == "":
			case slices.Contains(*into, s):
				r.add(item, "%s: %s is listed already", key, quote(s))
			default:
				*into = append(*into, s)
			}
		})
	}
}

// checkClock says what a machine cannot have whose time runs ahead: a CPU of the
// host's, and peers whose time does not.
func (r *reader) checkClock(m Machine, at *yaml.Node) {
	if m.Clock != "virtual" {
		return
	}
	if m.Accel == "kvm" {
		r.add(at, "machine %s: clock virtual with accel kvm: expected tcg or auto, for only emulated CPUs can have a time of their own", quote(m.Name))
	}
	if m.SMP != 1 {
		r.add(at, "machine %s: clock virtual with %d virtual CPUs: expected smp: 1, for kernels wait for one another's CPUs without idling", quote(m.Name), m.SMP)
	}
	for _, n := range m.NICs {
		if n.Link == "tap" || n.Link == "vfio" {
			r.add(at, "machine %s: clock virtual with a NIC on link %s: expected user or wire, for peers outside live in the host's time", quote(m.Name), n.Link)
		}
	}
}

// layers reads the section of that name, whose names are fixed.
func (r *reader) layers(key string, n *yaml.Node) {
	r.pairs(n, key, "the names of layers", func(name string, k, v *yaml.Node) {
		layer, ok := r.layerName(ref{name, k})
		l := r.layer(layer, name, k, v)
		if _, twice := r.file.Layers[layer]; ok && !twice {
			r.file.Layers[layer] = l
		}
	})
}

func (r *reader) layer(layer suites.Layer, name string, key, n *yaml.Node) Layer {
	l := Layer{Layer: layer, Timeout: defaultTimeout, Repeat: 1}
	var names []ref
	r.fields(key, n, "layer "+quote(name), map[string]field{
		"suites":  r.refs(&names, "suites"),
		"timeout": r.duration(&l.Timeout),
		"repeat":  r.number(&l.Repeat, 1, 1000),
	}, "suites")
	for _, s := range names {
		l.Suites = append(l.Suites, s.name)
		r.suiteRefs = append(r.suiteRefs, suiteRef{s, layer})
	}
	return l
}

func (r *reader) matrix(key string, n *yaml.Node) {
	ok := r.items(n, key, "entries", func(item *yaml.Node) {
		b := block{at: item}
		r.fields(item, item, "matrix entry", map[string]field{
			"upstreams": r.refs(&b.upstreams, "upstreams"),
			"targets":   r.refs(&b.targets, "targets"),
			"machines":  r.refs(&b.machines, "machines"),
			"layers":    r.refs(&b.layers, "layers"),
		}, "upstreams", "targets", "machines", "layers")
		r.blocks = append(r.blocks, b)
	})
	if ok && len(n.Content) == 0 {
		r.add(n, "%s: expected at least one entry with upstreams, targets, machines and layers", key)
	}
}

func (r *reader) schedule(name string, key, n *yaml.Node) Schedule {
	s := Schedule{Name: name}
	p := pass{name: name}
	r.fields(key, n, "schedule "+quote(name), map[string]field{
		"cron":      r.text(&s.Cron, checkCron),
		"upstreams": r.refs(&p.upstreams, "upstreams"),
		"layers":    r.refs(&p.layers, "layers"),
	}, "cron", "upstreams")
	r.passes = append(r.passes, p)
	return s
}

func (r *reader) sink(name string, key, n *yaml.Node) Sink {
	s := Sink{Name: name}
	seen := r.fields(key, n, "sink "+quote(name), map[string]field{
		"mail":    r.text(&s.Mail, checkMail),
		"webhook": r.text(&s.Webhook, checkWebhook),
	})
	r.exactlyOne(key, seen, "sink "+quote(name), "mail", "webhook")
	return s
}

// exactlyOne notes that both of two keys are there, or neither. seen is nil when
// the mapping itself was wrong.
func (r *reader) exactlyOne(at *yaml.Node, seen map[string]*yaml.Node, what, a, b string) {
	switch {
	case seen == nil:
	case seen[a] == nil && seen[b] == nil:
		r.add(at, "%s has neither %s nor %s: expected one of them", what, a, b)
	case seen[a] != nil && seen[b] != nil:
		later := seen[a]
		if before(later, seen[b]) {
			later = seen[b]
		}
		r.add(later, "%s has both %s and %s: expected one of them", what, a, b)
	}
}

// before says that a comes before b in the file.
func before(a, b *yaml.Node) bool {
	return a.Line < b.Line || a.Line == b.Line && a.Column < b.Column
}
