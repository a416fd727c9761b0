package symbol

import (
	"cmp"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
)

var (
	// sampled is a CPU's program counter in a report of the runner's own.
	sampled = regexp.MustCompile(`\b(cpu\d+) at 0x([0-9a-f]{8,16})([^;(]*)`)
	// summed ends the line that says where a CPU was most often.
	summed = regexp.MustCompile(`\(\d+ of \d+\)$`)
)

// samples are the places at which a report saw each CPU.
type samples struct {
	table *Table
	order []string // of the CPUs
	cpus  map[string]*cpuSamples
}

// cpuSamples are those of one CPU.
type cpuSamples struct {
	all       int
	functions map[string]int
	places    map[string]map[uint64]int // by function, of those where it did not wait for an interrupt
}

func newSamples(t *Table) *samples { return &samples{table: t, cpus: make(map[string]*cpuSamples)} }

// line puts behind each program counter of a line where that is, and behind a line that
// sums up a CPU's samples the function that it was in most often:
//
//	cpu0 at 0xffffffff80b12345 [tcp_output sys/netinet/tcp_output.c:812] (3 of 10)
//	cpu0 in tcp_output (8 of 10 samples)
func (s *samples) line(text string) string {
	sum, of := summed.MatchString(text), ""
	out := sampled.ReplaceAllStringFunc(text, func(at string) string {
		m := sampled.FindStringSubmatch(at)
		frames, err := s.table.ResolveAddr(hexa(m[2]))
		if err != nil {
			frames = nil
		}
		if of = m[1]; !sum {
			s.note(m[1], hexa(m[2]), strings.Contains(m[3], "halted"), frames)
		}
		if len(frames) == 0 {
			return at
		}
		return fmt.Sprintf("%s at 0x%s [%s]%s", m[1], m[2], whereIs(frames[0]), m[3])
	})
	c := s.cpus[of]
	if !sum || c == nil {
		return out
	}
	if fn := most(c.functions); fn != "" {
		out += fmt.Sprintf("\n%s in %s (%d of %d samples)", of, fn, c.functions[fn], c.all)
	}
	return out
}

// whereIs names a function and, if it is known, its line.
func whereIs(f Frame) string {
	if f.File == "" {
		return f.Func
	}
	return f.Func + " " + place(f)
}

// note counts a sample; the function is the one that has an address of its own, into
// which others may be inlined.
func (s *samples) note(cpu string, addr uint64, halted bool, frames []Frame) {
	c := s.cpus[cpu]
	if c == nil {
		c = &cpuSamples{functions: make(map[string]int), places: make(map[string]map[uint64]int)}
		s.cpus[cpu] = c
		s.order = append(s.order, cpu)
	}
	c.all++
	if len(frames) == 0 {
		return
	}
	fn := frames[len(frames)-1].Func
	if c.functions[fn]++; halted {
		return
	}
	if c.places[fn] == nil {
		c.places[fn] = make(map[uint64]int)
	}
	c.places[fn][addr]++
}

// stack is where the first CPU was that was at work in one function of the kernel for at
// least half of its samples: all that is known of a guest which said nothing. Nil: no CPU
// was, they wait or run processes.
func (s *samples) stack() []Frame {
	for _, name := range s.order {
		c := s.cpus[name]
		busy := make(map[string]int)
		for fn, at := range c.places {
			for _, n := range at {
				busy[fn] += n
			}
		}
		fn := most(busy)
		if fn == "" || 2*busy[fn] < c.all {
			continue
		}
		if frames, err := s.table.ResolveAddr(most(c.places[fn])); err == nil {
			return frames
		}
	}
	return nil
}

// most is the key with the highest count, of equals the first; its zero value when there
// is none.
func most[K cmp.Ordered](counts map[K]int) (top K) {
	n := 0
	for _, k := range slices.Sorted(maps.Keys(counts)) {
		if counts[k] > n {
			top, n = k, counts[k]
		}
	}
	return top
}
