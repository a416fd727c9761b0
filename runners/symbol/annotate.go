package symbol

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/headwatch/headwatch/runners"
)

var (
	// placed is a place in a line of a report, with the address that stack(9) prints.
	placed = regexp.MustCompile(`(?:#\d+ (0x[0-9a-f]+) at |^|[\s:(])([A-Za-z_][\w.]*)\+0x([0-9a-f]+)(?:[/:\s]|$)`)
	// exact are lines whose place is the program counter itself; others are of
	// return addresses, and the call is before those.
	exact = regexp.MustCompile(`RIP: |\bpc : |^Stopped at`)
	// interrupted are lines below which the next frame is where the kernel was.
	interrupted = regexp.MustCompile(`^\s*--- (trap|exception|interrupt|system error)|^Tracing `)
)

// maxAnnotated bounds how many lines of a report are looked up.
const maxAnnotated = 600

// Annotate returns the crash with file and line after each place in its text that
// the table knows, and before it a line for each function that was inlined there:
//
//	tcp_rack_advance sys/netinet/tcp_stacks/rack.c:120 [inline]
//	rack_output() at rack_output+0x1c2/frame 0xfffffe00550a4b20 [sys/netinet/tcp_stacks/rack.c:18230]
//
// A crash that names no file gets the place of its first frame. Title and
// signature stay: they are the same with and without a debug file.
func Annotate(c runners.Crash, t *Table) runners.Crash {
	c, _ = Symbolize(c, t)
	return c
}

// Symbolize is Annotate, and returns the crash's frames with what was inlined into
// each before it. A frame whose place is not known has its name alone.
func Symbolize(c runners.Crash, t *Table) (runners.Crash, []Frame) {
	var out strings.Builder
	var places []met
	seen := newSamples(t)
	counter, below, looked := "", false, 0
	for line := range strings.Lines(c.Text) {
		text := strings.TrimRight(line, "\n")
		if sampled.MatchString(text) && looked < maxAnnotated {
			looked++
			out.WriteString(seen.line(text) + line[len(text):])
			continue
		}
		m := placed.FindStringSubmatch(text)
		if m == nil || looked == maxAnnotated {
			below = interrupted.MatchString(text)
			out.WriteString(line)
			continue
		}
		looked++
		at := m[2] + "+" + m[3]
		isPC := exact.MatchString(text) || below || at == counter
		if exact.MatchString(text) {
			counter = at // the backtrace begins with it again
		}
		below = false
		frames := t.lookUp(m, isPC)
		if len(frames) == 0 || frames[len(frames)-1].File == "" {
			out.WriteString(line)
			continue
		}
		places = append(places, met{m[2], hexa(m[3]), frames})
		for _, f := range frames[:len(frames)-1] {
			fmt.Fprintf(&out, "%s %s [inline]\n", f.Func, place(f))
		}
		fmt.Fprintf(&out, "%s [%s]%s", text, place(frames[len(frames)-1]), line[len(text):])
	}
	c.Text = out.String()
	stack := backtrace(c.Frames, places)
	if len(stack) == 0 {
		stack = seen.stack()
	}
	if c.Where == "" && len(stack) > 0 && stack[0].File != "" {
		c.Where = place(stack[0])
	}
	return c, stack
}

// met is a place that a report names, and what is there.
type met struct {
	fn     string
	off    uint64
	frames []Frame
}

// backtrace finds the frames of a crash among the places of its text. The text says
// a place in more ways than a frame: it has the compiler's suffixes, and tells a
// program counter from a return address.
func backtrace(of []runners.Frame, places []met) (out []Frame) {
	for _, f := range of {
		i := slices.IndexFunc(places, func(m met) bool {
			return f.Func != "" && m.off == f.Offset && strings.HasPrefix(m.fn, f.Func)
		})
		if i < 0 {
			out = append(out, Frame{Func: f.Func})
			continue
		}
		out = append(out, places[i].frames...)
	}
	return out
}

// lookUp resolves what placed found; a place that is not known gives nothing.
func (t *Table) lookUp(m []string, isPC bool) []Frame {
	off, addr := hexa(m[3]), hexa(strings.TrimPrefix(m[1], "0x"))
	if !isPC && off > 0 {
		off--
		addr = max(addr, 1) - 1
	}
	frames, err := t.resolve(m[2], off, addr)
	if err != nil {
		return nil // a module's function, or one of several of its name
	}
	return frames
}

func place(f Frame) string {
	switch {
	case f.File == "":
		return "?"
	case f.Line == 0: // the compiler merged the code of several lines
		return f.File + ":?"
	}
	return f.File + ":" + strconv.Itoa(f.Line)
}

// hexa reads a number that a pattern found; none, or one too long, is 0.
func hexa(s string) uint64 {
	n, err := strconv.ParseUint(s, 16, 64)
	if err != nil {
		return 0
	}
	return n
}
