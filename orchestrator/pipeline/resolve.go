package pipeline

import (
	"cmp"
	"maps"
	"slices"

	"github.com/headwatch/headwatch/suites"
)

// resolve follows every reference and checks what only several definitions
// together can tell.
func (r *reader) resolve() {
	for _, s := range r.suiteRefs {
		r.checkSuite(s)
	}
	r.resolveMatrix()
	for _, p := range r.passes {
		r.resolvePass(p)
	}
	r.resolveKnown()
}

// checkSuite notes a suite that does not exist, or has nothing to run in the
// layer that lists it.
func (r *reader) checkSuite(s suiteRef) {
	layers, ok := r.known.Suites[s.name]
	switch {
	case !ok:
		r.add(s.at, "unknown suite %s: %s", quote(s.name), r.hint(s.name, slices.Sorted(maps.Keys(r.known.Suites))))
	case slices.Contains(suites.Layers, s.layer) && !slices.Contains(layers, s.layer):
		r.add(s.at, "suite %s has no cases in layer %s: it has them in %s", s.name, s.layer, cmp.Or(oneOf(layerNames(layers)), "none"))
	}
}

// resolveNames keeps the names that are defined and notes the others.
func resolveNames[V any](r *reader, kind string, refs []ref, defined map[string]V) []string {
	var names []string
	known := slices.Sorted(maps.Keys(defined))
	for _, f := range refs {
		if _, ok := defined[f.name]; ok {
			names = append(names, f.name)
		} else {
			r.add(f.at, "undefined %s %s: %s", kind, quote(f.name), r.hint(f.name, known))
		}
	}
	return names
}

// resolveLayers keeps the layers that are defined, from the bottom up, and notes
// the others.
func (r *reader) resolveLayers(refs []ref) []suites.Layer {
	var layers []suites.Layer
	for _, f := range refs {
		layer, ok := r.layerName(f)
		if !ok {
			continue
		}
		if _, defined := r.file.Layers[layer]; !defined {
			r.add(f.at, "undefined layer %s: expected an entry for it in layers", f.name)
			continue
		}
		layers = append(layers, layer)
	}
	slices.Sort(layers)
	return layers
}

// layerName reads the name of a layer, defined in the file or not.
func (r *reader) layerName(f ref) (suites.Layer, bool) {
	var layer suites.Layer
	if layer.UnmarshalText([]byte(f.name)) != nil {
		r.add(f.at, "unknown layer %s: %s", quote(f.name), r.hint(f.name, layerNames(suites.Layers)))
		return 0, false
	}
	return layer, true
}

// layerNames gives the names of layers.
func layerNames(layers []suites.Layer) []string {
	names := make([]string, len(layers))
	for i, l := range layers {
		names[i] = l.String()
	}
	return names
}

// resolvePass fills in what a schedule refers to, and notes what no entry of
// the matrix would give it to run.
func (r *reader) resolvePass(p pass) {
	s := r.file.Schedules[p.name]
	s.Upstreams = resolveNames(r, "upstream", p.upstreams, r.file.Upstreams)
	s.Layers = r.resolveLayers(p.layers)
	r.file.Schedules[p.name] = s

	used := map[string]bool{}
	layers := map[suites.Layer]bool{}
	for _, e := range r.file.Matrix {
		for _, u := range e.Upstreams {
			used[u] = true
			for _, l := range e.Layers {
				layers[l] = layers[l] || slices.Contains(s.Upstreams, u)
			}
		}
	}
	for _, u := range p.upstreams {
		if slices.Contains(s.Upstreams, u.name) && !used[u.name] {
			r.add(u.at, "schedule %s: no matrix entry uses upstream %s", quote(p.name), quote(u.name))
		}
	}
	for _, l := range p.layers {
		for _, layer := range s.Layers {
			if layer.String() == l.name && !layers[layer] {
				r.add(l.at, "schedule %s: no matrix entry of its upstreams has layer %s", quote(p.name), l.name)
			}
		}
	}
}
