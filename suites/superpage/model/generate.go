package model

import "math/rand/v2"

// Options say what scripts are drawn of. The zero value is all.
type Options struct {
	Threads int  // that take turns; 0: one
	Forks   bool // half of the operations fork or decide what a child gets
	NoLocks bool // nothing is locked: whoever performs may not
}

// Expect is what a sound machine reports of an operation that applies. Of several values
// that a page may hold, it holds the first.
func (o *Oracle) Expect(op Op) Saw {
	var saw Saw
	load := op.Kind == Read || op.Kind == KRead || op.Kind == Fork
	store := op.Kind == Write || op.Kind == KWrite || op.Kind == Fork
	child := op.Kind == Fork
	for _, access := range []struct{ want, store bool }{{load, false}, {store, true}} {
		if !access.want {
			continue
		}
		for n, p := range o.span(op) {
			i, a := op.First+n, Access{}
			if child && p.how == Keep && p.backing != hole {
				p = page{}
			}
			if a.Fault = !o.allowed(i, p, access.store); !a.Fault && !access.store {
				switch {
				case p.backing == shared:
					a.Value = o.shm[i]
				case !child || p.how != Zero:
					a.Value = first(p.may)
				}
			}
			saw.Pages = append(saw.Pages, a)
		}
	}
	return saw
}

// Generate draws a script of about n operations, that apply. It begins with large pages:
// memory that is mapped and written as a whole.
func Generate(r *rand.Rand, os string, n int, with Options) Script {
	o := NewOracle(os)
	var s Script
	value := uint32(0)
	add := func(op Op) {
		if op.Thread = r.IntN(max(1, with.Threads)); o.Applies(op) && len(s) < MaxOps {
			o.Check(op, o.Expect(op))
			s = append(s, op)
		}
	}
	fill := func(first, count int) {
		kind := MapAnon
		if r.IntN(3) == 0 {
			kind = MapShm
		}
		value++
		add(Op{Kind: Truncate, Count: Pages})
		add(Op{Kind: kind, First: first, Count: count, Prot: ReadWrite})
		add(Op{Kind: Write, First: first, Count: count, Value: value})
	}
	fill(0, Large)
	fill(Large, Large)
	for len(s) < min(n, MaxOps) {
		if r.IntN(24) == 0 { // a large page again
			fill(r.IntN(2)*Large, Large)
			continue
		}
		value++
		op := draw(r, with)
		op.Value = value
		before := len(s)
		if add(op); len(s) > before && op.Kind != Read && r.IntN(2) == 0 {
			first := max(0, op.First-1)
			add(Op{Kind: Read, First: first, Count: min(op.Count+2, Pages-first, 16)})
		}
	}
	add(Op{Kind: Read, First: 0, Count: Pages})
	return s
}

// weights say how often a kind is drawn.
var weights = []struct {
	kind   Kind
	weight int
}{
	{MapAnon, 4}, {MapShm, 4}, {Unmap, 6}, {Protect, 16}, {DontNeed, 4}, {Free, 5}, {WillNeed, 4}, {Lock, 5}, {Unlock, 6},
	{Inherit, 4}, {Write, 14}, {Read, 14}, {KWrite, 8}, {KRead, 8}, {Fork, 2}, {Truncate, 2},
}

// draw is a random operation without thread and value.
func draw(r *rand.Rand, with Options) Op {
	op := Op{Prot: Prot(1 + r.IntN(3)), How: How(1 + r.IntN(3))}
	total := 0
	for _, w := range weights {
		total += w.weight
	}
	at := r.IntN(total)
	for _, w := range weights {
		if at -= w.weight; at < 0 {
			op.Kind = w.kind
			break
		}
	}
	if with.Forks && r.IntN(2) == 0 {
		op.Kind = []Kind{Fork, Fork, Inherit}[r.IntN(3)]
	}
	if with.NoLocks && (op.Kind == Lock || op.Kind == Unlock) {
		op.Kind = Protect
	}
	op.First, op.Count = span(r)
	switch op.Kind {
	case Truncate:
		op.Count, op.First = op.First+op.Count, 0
	case Read, Write, KRead, KWrite, Fork: // pages cost, and one says as much as many
		op.Count = min(op.Count, 32)
	}
	return op
}

// span draws pages: few, mostly, and whole large ones, and across their border.
func span(r *rand.Rand) (first, count int) {
	switch at := r.IntN(20); {
	case at < 9:
		count = 1 + r.IntN(4)
	case at < 14:
		count = 1 + r.IntN(64)
	case at < 16:
		return Large - 1 - r.IntN(8), 2 + r.IntN(16)
	case at < 19:
		return r.IntN(2) * Large, Large
	default:
		return 0, Pages
	}
	return r.IntN(Pages - count + 1), count
}
