package bisect

import (
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"
)

func env(n string, d float64) float64 {
	if v, err := strconv.ParseFloat(os.Getenv(n), 64); err == nil {
		return v
	}
	return d
}

var LAM, KK = env("LAM", 0), int(env("K", 3))
var BW = env("BW", 1)
var BETA, CAP, HV = env("BETA", 0), env("CAP", 1), env("HV", .05)
var LPOW = env("LPOW", 0)

func (s *Search) proto() probe {
	ok := make([]float64, len(s.line))
	for i := range ok {
		ok[i] = 1
	}
	bad, good := s.outlooks()
	rs := s.reaches(ok)
	var best probe
	G := len(s.mass)
	df, dh, dr, dn := make([]float64, G), make([]float64, G), make([]float64, G), make([]float64, G)
	lam := LAM
	if LPOW != 0 {
		hc := 0.0
		for _, w := range s.weight {
			if w > 0 {
				hc -= w * math.Log2(w)
			}
		}
		lam *= math.Pow(hc/10, LPOW)
	}
	var heavy []int
	for i, w := range s.weight {
		if w > HV {
			heavy = append(heavy, i)
		}
	}
	for k, m := range s.model.Repeats {
		b, g := bad[k], good[k]
		tf, th, tr, tn := 0., 0., 0., 0.
		for x, w := range s.mass {
			tf += w * g.fails[x]
			th += w * g.noise[x]
			tr += w * g.runs[x]
			tn += w * g.inner[x]
			df[x], dh[x], dr[x], dn[x] = b.fails[x]-g.fails[x], b.noise[x]-g.noise[x], b.runs[x]-g.runs[x], b.inner[x]-g.inner[x]
		}
		for _, c := range rs {
			f, h, r, nn := tf, th, tr, tn
			for x, w := range c.inside {
				f += w * df[x]
				h += w * dh[x]
				r += w * dr[x]
				nn += w * dn[x]
			}
			ig := entropy(f) - h + lam*(h-nn)
			if BETA > 0 {
				for _, i := range heavy {
					w, x := s.weight[i], s.group[i]
					phi := g.fails[x]
					if i <= c.commit {
						phi = b.fails[x]
					}
					alt := (f - w*phi) / (1 - w)
					phi, alt = min(max(phi, 1e-9), 1-1e-9), min(max(alt, 1e-9), 1-1e-9)
					ff := min(max(f, 1e-9), 1-1e-9)
					lc := math.Log(99) - math.Log(w/(1-w)) + CAP
					d := phi*min(lc, math.Log(phi/alt)) + (1-phi)*min(lc, math.Log((1-phi)/(1-alt)))
					d0 := phi*math.Log(phi/ff) + (1-phi)*math.Log((1-phi)/(1-ff))
					ig += BETA * w * (d - d0) / math.Ln2
				}
			}
			cost := r
			if s.line[c.commit].State == NotBuilt {
				cost += s.model.BuildCost * BW
			}
			if ig/cost > best.value {
				best = probe{c.commit, m, ig, cost, ig / cost}
			}
		}
	}
	return best
}

func protoTrial(model Model, n int, p, q float64, seed uint64, known, trace bool) (cost float64, runs, builds, plans int, right bool, conf float64) {
	rng := rand.New(rand.NewPCG(seed, 7))
	line := make(Line, n+1)
	for i := range line {
		line[i].State = NotBuilt
	}
	line[0].State, line[n].State = Built, Built
	culprit := 1 + rng.IntN(n)
	var e Evidence
	id := 0
	run := func(i int) Outcome {
		x := q
		if i >= culprit {
			x = p
		}
		o := Pass
		if rng.Float64() < x {
			o = Fail
		}
		id++
		runs++
		cost++
		e.Add(Observation{ID: strconv.Itoa(id), Commit: i, Outcome: o})
		return o
	}
	if !known {
		for f := 0; f < KK; {
			if run(n) == Fail {
				f++
			}
		}
	}
	for {
		s, err := NewSearch(line, &e, model)
		if err != nil {
			panic(err)
		}
		top, ti := 0.0, 0
		if os.Getenv("STOPORACLE") != "" {
			m2 := model
			m2.P = Known(p)
			s2, _ := NewSearch(line, &e, m2)
			for i, w := range s2.weight {
				if w > top {
					top, ti = w, i
				}
			}
		} else {
			for i, w := range s.weight {
				if w > top {
					top, ti = w, i
				}
			}
		}
		if phases {
			hc := 0.0
			for _, w := range s.weight {
				if w > 0 {
					hc -= w * math.Log2(w)
				}
			}
			for k, h := range []float64{8, 6, 4, 2, 1} {
				phase(k, hc <= h, seed, cost)
			}
			for k, h := range []float64{.5, .8, .9, .95, .98} {
				phase(5+k, top >= h, seed, cost)
			}
		}
		if top >= .99 || runs > 20000 {
			if os.Getenv("FIN") != "" {
				n, T, pg, pp := 0, 0, 0, 0
				for _, a := range s.asked {
					switch {
					case a.commit >= culprit:
						n += a.total.Failed
						T += a.total.Failed + a.total.Passed
					case a.commit == culprit-1:
						pp += a.total.Passed
					default:
						pg += a.total.Passed
					}
				}
				fmt.Println("FIN", n, T, pp, pg, builds, cost)
			}
			return cost, runs, builds, plans, ti == culprit, top
		}
		plans++
		var b probe
		if os.Getenv("ORACLE") != "" {
			m2 := model
			m2.P = Known(p)
			s2, _ := NewSearch(line, &e, m2)
			b = s2.proto()
			if b.value < 1e-5 {
				b = s.proto()
			}
		} else {
			b = s.proto()
		}
		if line[b.commit].State == NotBuilt {
			line[b.commit].State = Built
			cost += model.BuildCost
			builds++
		}
		r := 0
		for r < b.runs {
			r++
			if run(b.commit) == Fail {
				break
			}
		}
		if trace {
			ps := s.Posterior()
			fmt.Printf("c=%d probe %d m=%d r=%d top=%.3f@%d p=%.3f[%.3f %.3f] q=%.4f cost=%.0f\n", culprit, b.commit, b.runs, r, top, ti, ps.P.Mean, ps.P.Low, ps.P.High, ps.Q.Mean, cost)
		}
	}
}

func capacity(p, q float64) float64 {
	best := 0.0
	for k := 1; k < 2000; k++ {
		x := float64(k) / 2000
		f := x*p + (1-x)*q
		best = max(best, entropy(f)-x*entropy(p)-(1-x)*entropy(q))
	}
	return best
}

func protoRun(model Model, p, q float64, known bool, trials int) string {
	var wg sync.WaitGroup
	var mu sync.Mutex
	var c, r, b, ok, conf, c2, pl float64
	t0 := time.Now()
	for w := range 2 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for t := w; t < trials; t += 2 {
				cost, runs, builds, plans, right, cf := protoTrial(model, 1000, p, q, uint64(t+1), known, false)
				mu.Lock()
				c += cost
				c2 += cost * cost
				r += float64(runs)
				b += float64(builds)
				pl += float64(plans)
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
	return fmt.Sprintf("ratio %.3f±%.3f cost %.1f runs %.1f builds %.1f acc %.4f conf %.4f plans %.1f %.2f ms/trial", c/T/bound, sd/bound, c/T, r/T, b/T, ok/T, conf/T, pl/T, time.Since(t0).Seconds()*1000/T)
}

func TestProto(t *testing.T) {
	trials, _ := strconv.Atoi(os.Getenv("TRIALS"))
	if trials == 0 {
		t.Skip()
	}
	k := DefaultModel()
	k.Before, k.None = 0, 0
	if os.Getenv("REP") == "fine" {
		k.Repeats = []int{1, 2, 3, 4, 5, 6, 8, 10, 12, 15, 18, 22, 26, 30, 36, 43, 52, 62, 75, 90, 108, 130, 160, 200}
	}
	if a := env("PRI", 0); a > 0 {
		for i, v := range k.P.Values {
			k.P.Weights[i] *= math.Pow(v, a)
		}
	}
	if n := env("SEEN", 0); n > 0 {
		for i, v := range k.P.Values {
			k.P.Weights[i] *= 1 - math.Pow(1-v, n)
		}
	}
	mode := os.Getenv("MODE")
	for _, p := range []float64{1, .5, .2, .1, .05} {
		if o := os.Getenv("P"); o != "" && o != fmt.Sprint(p) {
			continue
		}
		if mode == "" || mode == "known" {
			m := k
			m.P, m.Q = Known(p), Known(0)
			fmt.Printf("known p=%.2f %s\n", p, protoRun(m, p, 0, true, trials))
		}
		if mode == "" || mode == "learn" {
			m := k
			m.Q = Known(0)
			fmt.Printf("learn p=%.2f %s\n", p, protoRun(m, p, 0, false, trials))
		}
		if (mode == "" || mode == "q") && p < 1 && p > .1 {
			m := k
			m.Before, m.None = .01, .01
			fmt.Printf("q=.01 learn p=%.2f %s\n", p, protoRun(m, p, .01, false, trials))
		}
	}
}

var phases = os.Getenv("PHASES") != ""
var phMu sync.Mutex
var phFirst [10]map[uint64]float64

func phase(k int, hit bool, seed uint64, cost float64) {
	if !hit {
		return
	}
	phMu.Lock()
	defer phMu.Unlock()
	if phFirst[k] == nil {
		phFirst[k] = map[uint64]float64{}
	}
	if _, ok := phFirst[k][seed]; !ok {
		phFirst[k][seed] = cost
	}
}

func TestMain(m *testing.M) {
	c := m.Run()
	if phases {
		for k := range phFirst {
			t := 0.0
			for _, v := range phFirst[k] {
				t += v
			}
			fmt.Printf("phase %d ratio mean cost %.1f\n", k, t/float64(len(phFirst[k])))
		}
	}
	os.Exit(c)
}

func TestProtoTrace(t *testing.T) {
	if os.Getenv("TRACE") == "" {
		t.Skip()
	}
	m := DefaultModel()
	m.Q = Known(0)
	m.Before, m.None = 0, 0
	protoTrial(m, 1000, env("P", .1), 0, uint64(env("TRACE", 5)), false, true)
}
