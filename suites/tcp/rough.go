package tcp

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/headwatch/headwatch/suites"
	"github.com/headwatch/headwatch/suites/kernel"
	"github.com/headwatch/headwatch/suites/wire"
	"github.com/headwatch/headwatch/suites/wire/judge"
	"github.com/headwatch/headwatch/suites/wire/peer"
)

const (
	roughConns  = 64
	roughBytes  = 96 << 10 // each way of each
	roughRounds = 40
)

// rough is R10: many connections at once on paths that lose, double, reorder and damage
// what both sides send. Each comes through with its bytes, and none stays behind.
func rough() row {
	return row{
		name: "r10", layer: suites.Soak, timeout: 4 * time.Hour,
		summary: "64 connections at once on 40 paths that lose 0.1 to 10 %, double, reorder and damage: every byte, and no connection stays",
		plan: func(_ Family, t *suites.T) Plan {
			r := roughness{rand: rand.New(rand.NewPCG(t.Rand.Uint64(), 10))}
			return Plan{Stack: &peer.StackOptions{}, Lenient: true, Rounds: roughRounds, Patience: roughPatience(t.Guest.OS()), Run: r.run,
				// With losses in both directions the judge cannot tell what the guest knew, and
				// the kernel counts what the wire calls otherwise.
				Expect:    func(x *judge.Expect) { x.Follow = func(wire.Flow) bool { return false } },
				Uncounted: []judge.Counter{judge.ResentSegments, judge.ResentBytes, judge.DupAcksHeard, judge.BadSums}}
		},
	}
}

// roughPatience is how long nothing may move: two of the longest timeouts.
func roughPatience(os string) time.Duration {
	if os == "freebsd" {
		return 2 * judge.FreeBSD(1000).RTOMax
	}
	return 2 * judge.Linux().RTOMax
}

// roughness is an execution of R10.
type roughness struct {
	rand *rand.Rand
	// stacks are FreeBSD's of which one is taken in each round; empty: there is one.
	stacks []string
}

// roughPath draws what a path does to segments in each direction. The rates of loss are
// even on a logarithmic scale. One bit alone is never missed by a checksum.
func roughPath(r *rand.Rand) (rules []wire.Rule, what string) {
	loss := math.Pow(10, -3+2*r.Float64())
	double, late, damaged := .02*r.Float64(), .03*r.Float64(), .01*r.Float64()
	delay := time.Duration(1+r.IntN(30)) * time.Millisecond
	hit := func(name string, p float64, do wire.Action) {
		rules = append(rules, wire.Rule{Name: name, Match: wire.Match{Proto: "tcp", Probability: p}, Do: do})
	}
	hit("lost", loss, wire.Action{Drop: true})
	hit("damaged", damaged, wire.Action{Corrupt: &wire.Corrupt{Bits: 1, In: "transport"}})
	hit("doubled", double, wire.Action{Duplicate: &wire.Duplicate{Copies: 1, Gap: wire.Duration(time.Millisecond)}})
	hit("late", late, wire.Action{Hold: &wire.Hold{Frames: 1 + r.IntN(5), Limit: wire.Duration(2 * delay)}})
	rules = append(rules, wire.Rule{Name: "path", Do: wire.Action{Delay: &wire.Delay{Fixed: wire.Duration(delay), InOrder: true}}})
	return rules, fmt.Sprintf("loss %.1f %%, damage %.1f %%, doubles %.1f %%, late %.1f %%, %v each way", 100*loss, 100*damaged, 100*double, 100*late, delay)
}

func (r *roughness) run(ctx context.Context, b *Bed) error {
	rules, what := roughPath(r.rand)
	stack, err := r.choose(ctx, b)
	if err != nil {
		return err
	}
	where := strings.TrimSpace(fmt.Sprintf("round %d, %s %s", b.Round()+1, what, stack))
	b.Cable.Forget()
	if err := b.Cable.SetRules(rules); err != nil {
		return err
	}
	began := b.Cable.Now()
	var move []func(context.Context) error
	for i := range roughConns {
		c, err := b.Dial(ctx, Active+Role(i%2), nil)
		if err != nil {
			return within(where, err)
		}
		c.File = i%4 >= 2
		move = append(move, func(ctx context.Context) error {
			if err := c.Exchange(ctx, roughBytes, roughBytes); err != nil {
				return within(fmt.Sprintf("connection %d, %s", i+1, c.Role), err)
			}
			return c.Close(ctx)
		})
	}
	if err := all(ctx, move...); err != nil {
		return within(where, err)
	}
	b.Measure("slowest_round_s", max(b.T.Metrics[b.prefix+"slowest_round_s"], (b.Cable.Now()-began).Seconds()))
	return within(where, b.gone(ctx))
}

// choose has FreeBSD take its stacks by turns, where it has the module of another.
func (r *roughness) choose(ctx context.Context, b *Bed) (string, error) {
	if b.T.Guest.OS() != "freebsd" {
		return "", nil
	}
	if r.stacks == nil {
		r.stacks = []string{"freebsd"}
		raw, err := kernel.Sysctl(ctx, b.T.Guest, "net.inet.tcp.functions_available")
		if err != nil {
			return "", fmt.Errorf("stacks of TCP: %w", err)
		}
		if strings.Contains(string(raw), "\nrack ") {
			r.stacks = append(r.stacks, "rack")
		}
	}
	b.Measure("stacks", float64(len(r.stacks)))
	name := r.stacks[b.Round()%len(r.stacks)]
	if err := kernel.SetSysctl(ctx, b.T.Guest, "net.inet.tcp.functions_default", name); err != nil {
		return "", fmt.Errorf("stack %s: %w", name, err)
	}
	return "stack " + name, nil
}

// over are the states of connections of which nothing is expected any more.
var over = []string{"CLOSED", "LISTEN", "TIME_WAIT"}

// gone wants every connection to end, as soon as the guest's timers allow.
func (b *Bed) gone(ctx context.Context) error {
	limit := time.NewTimer(b.patience())
	defer limit.Stop()
	for {
		states, err := tcpStates(ctx, b.T.Guest)
		if err != nil {
			return err
		}
		var left []string
		for name, n := range states {
			if n > 0 && !slices.Contains(over, name) {
				left = append(left, fmt.Sprintf("%d in %s", n, name))
			}
		}
		if len(left) == 0 {
			return nil
		}
		slices.Sort(left)
		select {
		case <-limit.C:
			return stallf("connections are left %v after they were closed at both ends: %s", b.patience(), strings.Join(left, ", "))
		case <-time.After(200 * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
