package model

// Shrink makes a script that fails shorter and simpler, for as long as fails says that
// what is left fails. It asks at most budget times; an error of fails ends it, and what
// was reached by then is returned with it.
func Shrink(s Script, budget int, fails func(Script) (bool, error)) (Script, error) {
	h := &hunt{fails: fails, budget: budget, best: s}
	for h.err == nil && h.budget > 0 {
		before := len(h.best)
		h.drop()
		changed := h.simplify()
		if len(h.best) == before && !changed {
			break
		}
	}
	return h.best, h.err
}

type hunt struct {
	fails  func(Script) (bool, error)
	budget int
	best   Script
	err    error
}

// try takes a script for the best if it still fails.
func (h *hunt) try(s Script) bool {
	if h.err != nil || h.budget <= 0 {
		return false
	}
	h.budget--
	ok, err := h.fails(s)
	if err != nil {
		h.err = err
		return false
	}
	if ok {
		h.best = s
	}
	return ok
}

// drop leaves out runs of operations, halving their length (Zeller's ddmin, in the form
// that goes from the end: what comes last is what failed, what comes early is its cause).
func (h *hunt) drop() {
	for size := len(h.best) / 2; size >= 1; size /= 2 {
		for from := len(h.best) - size; from >= 0; from -= size {
			if from+size > len(h.best) {
				continue
			}
			h.try(append(append(Script{}, h.best[:from]...), h.best[from+size:]...))
		}
	}
}

// simplify makes operations smaller, one by one.
func (h *hunt) simplify() (changed bool) {
	for i := range h.best {
		for _, f := range simpler {
			for h.err == nil && h.budget > 0 {
				op := f(h.best[i])
				if op == h.best[i] || op.check() != nil {
					break
				}
				s := append(Script{}, h.best...)
				s[i] = op
				if !h.try(s) {
					break
				}
				changed = true
			}
		}
	}
	return changed
}

// simpler are the steps that simplify takes; each comes to an end.
var simpler = []func(Op) Op{
	func(o Op) Op { o.Thread = 0; return o },
	func(o Op) Op {
		if o.Kind != Truncate && o.Count > 1 {
			o.Count = (o.Count + 1) / 2
		}
		return o
	},
	func(o Op) Op {
		if o.Kind != Truncate && o.Count > 1 {
			half := o.Count / 2
			o.First, o.Count = o.First+half, o.Count-half
		}
		return o
	},
	func(o Op) Op {
		if o.Value > 1 {
			o.Value = 1
		}
		return o
	},
	func(o Op) Op {
		if o.Kind == KRead {
			o.Kind = Read
		} else if o.Kind == KWrite {
			o.Kind = Write
		}
		return o
	},
}
