package bisect

import (
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"testing"
)

var KAPPA = 0.0


type cand struct {
	i      int
	inside []float64
}

func (s *Search) cands() (out []cand) {
	run := make([]float64, len(s.rows))
	since, bestI := 0.0, -1
	flush := func() {
		if bestI >= 0 {
			out = append(out, cand{bestI, append([]float64{}, run...)})
		}
		since, bestI = 0, -1
	}
	for i, w := range s.weight {
		run[s.group[i]] += w
		since += w
		if s.line[i].State == Built {
			out = append(out, cand{i, append([]float64{}, run...)})
			continue
		}
		bestI = i
		if since >= 1./128 {
			flush()
		}
	}
	return out
}

var LAMBDA, LAMQ, TIE, BW, EXP = env("LAMBDA", 0), env("LAMQ", 0), env("TIE", 0), env("BW", 1), env("EXP", 1)
var FEAT = os.Getenv("FEAT") != ""
var STAGE=env("STAGE",0)

func env(n string, d float64) float64 {
	if v, err := strconv.ParseFloat(os.Getenv(n), 64); err == nil {
		return v
	}
	return d
}


var BWV = env("BWV", 0)
var REL = env("REL", 0)

func (s *Search) relRuns(k int, m int) (bad, good, unit []float64) {
	kap := make([]float64, len(s.cells.p))
	for j, p := range s.cells.p {
		kap[j] = math.Pow(1/capacity(p, 0)+s.model.BuildCost, -REL)
	}
	for _, r := range s.rows {
		b, g, u := 0., 0., 0.
		for j, w := range r.weight {
			at := s.cells.at[j]
			p, q := s.cells.p[at.p], s.cells.q[at.q]
			b += w * kap[at.p] * (1 - math.Pow(1-p, float64(m))) / p
			if q < 1e-6 {
				g += w * kap[at.p] * float64(m)
			} else {
				g += w * kap[at.p] * (1 - math.Pow(1-q, float64(m))) / q
			}
			u += w * kap[at.p]
		}
		bad, good, unit = append(bad, b), append(good, g), append(unit, u)
	}
	return
}

func (s *Search) protoBest() (bi, bm int) {
	bad, good := s.outlooks()
	mass := s.groupMass()
	cs := s.cands()
	type pr struct {
		i, m int
		v    float64
	}
	var all []pr
	best := -1.0
	lam := LAMBDA
	if STAGE > 0 {
		hc := 0.0
		for _, w := range s.weight {
			if w > 0 {
				hc -= w * math.Log2(w)
			}
		}
		lam *= math.Pow(hc/10, STAGE)
	}
	bw := BW
	if BWV > 0 {
		pm, _ := s.marginals()
		t, el, vl := 0., 0., 0.
		for j, w := range pm {
			l := math.Log(s.cells.p[j])
			t += w
			el += w * l
			vl += w * l * l
		}
		el, vl = el/t, vl/t
		bw = min(1, BW+BWV*(vl-el*el))
	}
	for k, m := range s.model.Repeats {
		b, g := bad[k], good[k]
		scale := 1.0
		if REL > 0 {
			var u []float64
			b.runs, g.runs, u = s.relRuns(k, m)
			scale = 0
			for x, w := range mass {
				scale += w * u[x]
			}
		}
		tf, th, tr, tn := 0., 0., 0., 0.
		for x, w := range mass {
			tf += w * g.fails[x]
			th += w * g.noise[x]
			tr += w * g.runs[x]
			tn += w * g.inner[x]
		}
		for _, c := range cs {
			f, h, r, nn := tf, th, tr, tn
			for x, w := range c.inside {
				f += w * (b.fails[x] - g.fails[x])
				h += w * (b.noise[x] - g.noise[x])
				r += w * (b.runs[x] - g.runs[x])
				nn += w * (b.inner[x] - g.inner[x])
			}
			ig := entropy(f) - h + lam*(h-nn)
			build := 0.0
			if s.line[c.i].State == NotBuilt {
				build = s.model.BuildCost * bw * scale
			}
			val := ig / (build + r)
			all = append(all, pr{c.i, m, val})
			if val > best {
				best, bi, bm = val, c.i, m
			}
		}
	}
	if TIE > 0 {
		for _, a := range all {
			if a.i == bi && a.m > bm && a.v > best*(1-TIE) {
				bm = a.m
			}
		}
	}
	return
}

func (s *Search) obtainable() []float64 {
	out := make([]float64, len(s.line))
	for i, c := range s.line {
		if c.testable() {
			out[i] = 1
		}
	}
	return out
}

func protoTrial(model Model, n int, p, q float64, seed uint64, trace bool) (cost float64, runs, builds int, right bool, conf float64) {
	rng := rand.New(rand.NewPCG(seed, 7))
	line := make(Line, n+1)
	for i := range line {
		line[i].State = NotBuilt
	}
	culprit := 1 + rng.IntN(n)
	var e Evidence
	id := 0
	var feats [][]float64
	for {
		s, err := NewSearch(line, &e, model)
		if err != nil {
			panic(err)
		}
		top, ti := 0.0, 0
		for i, w := range s.weight {
			if w > top {
				top, ti = w, i
			}
		}
		if top >= .99 || runs > 20000 {
			for _, f := range feats {
				fmt.Println("F", p, cost-f[0], f[1], f[2], f[3], f[4], f[5], f[6], f[7], seed)
			}
			return cost, runs, builds, ti == culprit, top
		}
		i, m := s.protoBest()
		if FEAT {
			hc := 0.0
			for _, w := range s.weight {
				if w > 0 {
					hc -= w * math.Log2(w)
				}
			}
			mass := s.groupMass()
			pm, _ := s.marginals()
			hp, hpc, ek, el, vl := 0., 0., 0., 0., 0.
			for j, w := range pm {
				if w > 0 {
					hp -= w * math.Log2(w)
				}
				ek += w * (1/capacity(s.cells.p[j], 0) + 10)
				l := math.Log(s.cells.p[j])
				el += w * l
				vl += w * l * l
			}
			for g, r := range s.rows {
				for _, w := range r.weight {
					if w > 0 {
						hpc -= mass[g] * w * math.Log2(w)
					}
				}
			}
			feats = append(feats, []float64{cost, hc, hp, hpc, ek, el, vl - el*el, top})
		}
		if line[i].State == NotBuilt {
			line[i].State = Built
			cost += model.BuildCost
			builds++
		}
		r := 0
		for r < m {
			r++
			x := q
			if i >= culprit {
				x = p
			}
			o := Pass
			if rng.Float64() < x {
				o = Fail
			}
			id++
			e.Add(Observation{ID: strconv.Itoa(id), Commit: i, Outcome: o})
			if o == Fail {
				break
			}
		}
		cost += float64(r)
		runs += r
		if trace {
			ps := s.Posterior()
			fmt.Printf("c=%d probe %d m=%d r=%d top=%.3f@%d p=%.3f[%.3f %.3f] q=%.4f cost=%.0f\n", culprit, i, m, r, top, ti, ps.P.Mean, ps.P.Low, ps.P.High, ps.Q.Mean, cost)
		}
	}
}

var capMemo sync.Map

func capacity(p, q float64) float64 {
	if v, ok := capMemo.Load([2]float64{p, q}); ok {
		return v.(float64)
	}
	v := capacity0(p, q)
	capMemo.Store([2]float64{p, q}, v)
	return v
}
func capacity0(p, q float64) float64 {
	// binary asymmetric channel by golden search on input prob
	best := 0.0
	for k := 1; k < 2000; k++ {
		x := float64(k) / 2000
		f := x*p + (1-x)*q
		best = max(best, entropy(f)-x*entropy(p)-(1-x)*entropy(q))
	}
	return best
}

func protoRun(model Model, p, q float64, trials int) string {
	var wg sync.WaitGroup
	var mu sync.Mutex
	var c, r, b, ok, conf, c2 float64
	for w := range 2 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for t := w; t < trials; t += 2 {
				cost, runs, builds, right, cf := protoTrial(model, 1000, p, q, uint64(t+1), false)
				mu.Lock()
				c += cost
				c2 += cost * cost
				r += float64(runs)
				b += float64(builds)
				conf += cf
				if right {
					ok++
				}
				mu.Unlock()
			}
		}()
	}
	wg.Wait()
	T := float64(trials)
	bound := 9.785 * (1/capacity(p, q) + model.BuildCost)
	sd := math.Sqrt(c2/T-c/T*c/T) / math.Sqrt(T)
	return fmt.Sprintf("ratio %.3f±%.3f cost %.1f runs %.1f builds %.1f acc %.4f conf %.4f", c/T/bound, sd/bound, c/T, r/T, b/T, ok/T, conf/T)
}

func TestProto(t *testing.T) {
	trials, _ := strconv.Atoi(os.Getenv("TRIALS"))
	if trials == 0 {
		t.Skip()
	}
	k := DefaultModel()
	k.Before, k.None = 0, 0
	switch os.Getenv("REP") {
	case "fine":
		k.Repeats = []int{1, 2, 3, 4, 5, 6, 8, 10, 12, 15, 18, 22, 26, 30, 36, 43, 52, 62, 75, 90, 108, 130, 160, 200}
	}
	mode := os.Getenv("MODE")
	if n := env("SEEN", 0); n > 0 {
		for i, v := range k.P.Values {
			k.P.Weights[i] *= 1 - math.Pow(1-v, n)
		}
	}
	for _, p := range []float64{1, .5, .2, .1, .05} {
		if o := os.Getenv("P"); o != "" && o != fmt.Sprint(p) {
			continue
		}
		if mode == "" || mode == "known" {
			m := k
			m.P, m.Q = Known(p), Known(0)
			fmt.Printf("known p=%.2f %s\n", p, protoRun(m, p, 0, trials))
		}
		if mode == "" || mode == "learn" {
			m := k
			m.Q = Known(0)
			fmt.Printf("learn p=%.2f %s\n", p, protoRun(m, p, 0, trials))
		}
		if (mode == "" || mode == "q") && p < 1 && p > .1 {
			m := k
			m.Before, m.None = .01, .01
			fmt.Printf("q=.01 learn p=%.2f %s\n", p, protoRun(m, p, .01, trials))
		}
		if mode == "q0" {
			m := k
			m.Before, m.None = .01, .01
			fmt.Printf("q learned=0 learn p=%.2f %s\n", p, protoRun(m, p, 0, trials))
		}
	}
}
func TestProtoTrace(t *testing.T) {
	if os.Getenv("TRACE") == "" {
		t.Skip()
	}
	p, _ := strconv.ParseFloat(os.Getenv("P"), 64)
	m := DefaultModel()
	m.Q = Known(0)
	m.Before, m.None = 0, 0
	protoTrial(m, 1000, p, 0, 5, true)
}
