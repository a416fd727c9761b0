package console

import (
	"bytes"
	"fmt"
	"regexp"
	"strings"

	"github.com/headwatch/headwatch/suites"
	"github.com/headwatch/headwatch/suites/console/guest"
)

// said is what a line has carried, taken apart: each writer's bytes, and everybody
// else's, which on a console is the kernel.
type said struct {
	writers [guest.MaxWriters][]byte
	kernel  []byte
}

func (s *said) add(p []byte) {
	for _, b := range p {
		if w, _ := guest.WriterOf(b); w >= 0 {
			s.writers[w] = append(s.writers[w], b)
		} else {
			s.kernel = append(s.kernel, b)
		}
	}
}

// lines cuts a writer's bytes behind each end of a line; what follows the last one is a
// line, too.
func lines(text []byte) (out [][]byte) {
	from := 0
	for i, b := range text {
		if _, symbol := guest.WriterOf(b); guest.Ends(symbol) {
			out = append(out, text[from:i+1])
			from = i + 1
		}
	}
	if from < len(text) {
		out = append(out, text[from:])
	}
	return out
}

// whole gives the number of a line that is as it was written; -1: it is not.
func whole(line []byte, seed uint64, writer int) int {
	n := guest.Number(line)
	if n < 0 || !bytes.Equal(line, guest.Line(nil, seed, writer, n)) {
		return -1
	}
	return n
}

// judgeLines wants lines 0 to n-1 of a writer, each whole, once and in order.
func judgeLines(text []byte, seed uint64, writer, n int) error {
	all := lines(text)
	times := make(map[int]int, len(all))
	torn := 0
	for _, l := range all {
		if k := whole(l, seed, writer); k >= 0 {
			times[k]++
		} else {
			torn++
		}
	}
	missing := 0
	for k := range n {
		if times[k] == 0 {
			missing++
		}
	}
	due := 0
	for i, l := range all {
		k := whole(l, seed, writer)
		switch {
		case k == due:
			due++
			continue
		case k < 0:
			return suites.Failf("writer %d: line %d of %d came damaged, %d bytes behind line %d; of all, %d came damaged and %d not at all",
				writer, i, n, len(l), due-1, torn, missing)
		case times[k] > 1 && k < due:
			return suites.Failf("writer %d: line %d of %d came %d times", writer, k, n, times[k])
		case times[due] > 0 || k < due:
			return suites.Failf("writer %d: line %d of %d came where line %d was due, out of order", writer, k, n, due)
		default:
			return suites.Failf("writer %d: line %d of %d was lost: line %d came in its place; of all, %d are missing", writer, due, n, k, missing)
		}
	}
	if due != n {
		return suites.Failf("writer %d: %d of %d lines came, and then no more", writer, due, n)
	}
	return nil
}

// The kernel's lines, as a case makes it say them. What has one of these words and is
// not one of these lines is torn. FreeBSD: sys/kern/kern_sig.c, sys/netinet/tcp_input.c
// and tcp_subr.c; a line of up to 128 bytes is said at once (PRINTF_BUFR_SIZE).
var (
	kernelWords = regexp.MustCompile(`headwatch-says|\(headwatch|exited on|tcpflags|Connection attempt`)
	message     = regexp.MustCompile(`^(?:\[ *[0-9.]+\] )?(headwatch-says (\d+) (\d+) [0-9a-f]{8}\.)$`)
	death       = regexp.MustCompile(`^pid (\d+) \([^ ()]+\), jid \d+, uid \d+: exited on signal \d+(?: \([^()]*\))?$`)
	inVain      = regexp.MustCompile(`^TCP: \[[0-9.]+\]:\d+ to \[[0-9.]+\]:\d+ tcpflags 0x[0-9a-f]+<[A-Z|]*>; \w+: Connection attempt to closed port$`)
	dropped     = regexp.MustCompile(`\*\* \d+ printk messages dropped \*\*`)
)

// kernelSaid is what the kernel was made to say.
type kernelSaid struct {
	messages map[int][]int // numbers in their order, by thread
	deaths   map[int]int   // how often, by process
	inVain   int
	gaps     bool // the kernel says that it left some out
}

// readKernel takes the kernel's lines apart; its error says that one is torn.
func readKernel(text []byte, seed uint64) (kernelSaid, error) {
	k := kernelSaid{messages: map[int][]int{}, deaths: map[int]int{}}
	for l := range strings.Lines(string(text)) {
		l = strings.TrimRight(l, "\r\n")
		l = strings.TrimLeft(l, "\r")
		switch {
		case !kernelWords.MatchString(l):
			k.gaps = k.gaps || dropped.MatchString(l)
		case inVain.MatchString(l):
			k.inVain++
		default:
			if err := k.read(l, seed); err != nil {
				return k, err
			}
		}
	}
	return k, nil
}

func (k *kernelSaid) read(l string, seed uint64) error {
	if m := death.FindStringSubmatch(l); m != nil {
		var pid int
		fmt.Sscan(m[1], &pid)
		k.deaths[pid]++
		return nil
	}
	if m := message.FindStringSubmatch(l); m != nil {
		var thread, seq int
		fmt.Sscan(strings.TrimLeft(m[2], "0")+" ", &thread)
		fmt.Sscan(strings.TrimLeft(m[3], "0")+" ", &seq)
		if m[1] == guest.Message(seed, thread, seq) {
			k.messages[thread] = append(k.messages[thread], seq)
			return nil
		}
	}
	if len(l) > 120 {
		l = l[:120]
	}
	return suites.Failf("a line of the kernel is torn: %q", l)
}

// judgeKernel wants of each thread of work its lines, once and in order.
func judgeKernel(k kernelSaid, work []guest.Work) error {
	thread := 0
	for _, w := range work {
		if w.Kind != guest.Kernel {
			continue
		}
		for _, pid := range w.Died {
			if n := k.deaths[pid]; n != 1 {
				return suites.Failf("the kernel said %d times that process %d died of a signal, once is due", n, pid)
			}
		}
		said := k.messages[thread]
		for i, seq := range said {
			if i > 0 && seq <= said[i-1] {
				return suites.Failf("message %d of thread %d came after message %d", seq, thread, said[i-1])
			}
		}
		if missing := w.Ops - int64(len(said)); len(w.Died) == 0 && missing > 0 && !k.gaps {
			return suites.Failf("%d of %d messages of the kernel were lost", missing, w.Ops)
		}
		thread++
	}
	return nil
}
