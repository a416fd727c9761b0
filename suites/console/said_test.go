package console

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/headwatch/headwatch/suites"
	"github.com/headwatch/headwatch/suites/console/guest"
)

const seed = 7

// text is what a writer says in lines of these numbers.
func text(writer int, numbers ...int) (b []byte) {
	for _, n := range numbers {
		b = guest.Line(b, seed, writer, n)
	}
	return b
}

// check compares what a judge said with a status and a part of its reason.
func check(t *testing.T, err error, status suites.Status, says string) {
	t.Helper()
	got, reason := suites.Classify(err)
	if got != status || !strings.Contains(reason, says) || (says == "") != (reason == "") {
		t.Errorf("%v %q, want %v with %q", got, reason, status, says)
	}
}

func TestJudgeLines(t *testing.T) {
	cut := len(text(0, 0, 1, 2)) - 3
	for name, tt := range map[string]struct {
		text []byte
		says string
	}{
		"all":            {text(0, 0, 1, 2, 3, 4), ""},
		"one lost":       {text(0, 0, 1, 3, 4), "line 2 of 5 was lost: line 3 came in its place; of all, 1 are missing"},
		"the first":      {text(0, 1, 2, 3, 4), "line 0 of 5 was lost"},
		"the last":       {text(0, 0, 1, 2, 3), "4 of 5 lines came, and then no more"},
		"nothing":        {nil, "0 of 5 lines came"},
		"swapped":        {text(0, 0, 2, 1, 3, 4), "line 2 of 5 came where line 1 was due, out of order"},
		"twice":          {text(0, 0, 1, 1, 2, 3, 4), "line 1 of 5 came 2 times"},
		"torn":           {append(text(0, 0, 1, 2)[:cut], text(0, 3, 4)...), "line 2 of 5 came damaged"},
		"another writer": {text(1, 0, 1, 2, 3, 4), "line 0 of 5 came damaged"},
		"no end":         {text(0, 0, 1, 2, 3, 4)[:len(text(0, 0, 1, 2, 3, 4))-1], "line 4 of 5 came damaged"},
	} {
		t.Run(name, func(t *testing.T) {
			want := suites.Failed
			if tt.says == "" {
				want = suites.Passed
			}
			check(t, judgeLines(tt.text, seed, 0, 5), want, tt.says)
		})
	}
}

// However writers and the kernel are mixed, each one's part comes out as it was said.
func TestSaidTakesAMixtureApart(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	parts := [][]byte{[]byte("[    1.5] a line of the kernel\r\nand one more\r\n")}
	for w := range guest.MaxWriters {
		parts = append(parts, text(w, 0, 1, 2, 3, 4, 5, 6, 7, 8))
	}
	for range 100 {
		var mixed []byte
		for at := make([]int, len(parts)); ; {
			var open []int
			for i, p := range parts {
				if at[i] < len(p) {
					open = append(open, i)
				}
			}
			if len(open) == 0 {
				break
			}
			i := open[r.IntN(len(open))]
			mixed = append(mixed, parts[i][at[i]])
			at[i]++
		}
		var s said
		for len(mixed) > 0 {
			n := 1 + r.IntN(min(40, len(mixed)))
			s.add(mixed[:n])
			mixed = mixed[n:]
		}
		if !bytes.Equal(s.kernel, parts[0]) {
			t.Fatalf("the kernel said %q", s.kernel)
		}
		for w := range guest.MaxWriters {
			if err := judgeLines(s.writers[w], seed, w, 9); err != nil {
				t.Fatalf("writer %d: %v", w, err)
			}
		}
	}
}

func TestLinesAreShort(t *testing.T) {
	for n := range 5000 {
		l := guest.Line(nil, seed, guest.MaxWriters-1, n)
		if len(l) > guest.MaxLine || guest.Number(l) != n || len(lines(l)) != 1 {
			t.Fatalf("line %d: %q", n, l)
		}
		for _, b := range l {
			if w, _ := guest.WriterOf(b); w != guest.MaxWriters-1 {
				t.Fatalf("line %d: a byte of writer %d", n, w)
			}
		}
	}
	if w, _ := guest.WriterOf(0xff); w != -1 {
		t.Errorf("a byte that nobody has is writer %d's", w)
	}
}

func TestJudgeKernel(t *testing.T) {
	says := func(thread int, numbers ...int) (s string) {
		for _, n := range numbers {
			s += fmt.Sprintf("[    4.80] %s\r\n", guest.Message(seed, thread, n))
		}
		return s
	}
	died := func(pids ...int) (s string) {
		for _, p := range pids {
			s += fmt.Sprintf("pid %d (headwatch-agent), jid 0, uid 0: exited on signal 6\r\n", p)
		}
		return s
	}
	const vain = "TCP: [10.77.0.1]:1024 to [10.77.0.2]:1 tcpflags 0x2<SYN>; tcp_input: Connection attempt to closed port\r\n"
	linux := []guest.Work{{Kind: guest.Lines}, {Kind: guest.Kernel, Ops: 3}, {Kind: guest.Kernel, Ops: 1}}
	bsd := []guest.Work{{Kind: guest.Kernel, Ops: 2, Died: []int{70, 71}}}
	for name, tt := range map[string]struct {
		text string
		work []guest.Work
		says string
	}{
		"all of Linux":    {says(0, 0) + says(1, 0) + "[ 5.0] another line\r\n" + says(0, 1, 2), linux, ""},
		"all of FreeBSD":  {died(70) + vain + died(71) + "Limiting closed port RST response\r\n", bsd, ""},
		"cored":           {"pid 70 (a), jid 0, uid 0: exited on signal 6 (no core dump - bad address)\r\n" + died(71), bsd, ""},
		"one lost":        {says(0, 0, 2) + says(1, 0), linux, "1 of 3 messages of the kernel were lost"},
		"said so":         {says(0, 0) + "** 12 printk messages dropped **\r\n" + says(0, 2) + says(1, 0), linux, ""},
		"out of order":    {says(0, 1, 0, 2) + says(1, 0), linux, "message 0 of thread 0 came after message 1"},
		"torn":            {says(0, 0) + says(0, 1)[:30] + "\r\n", linux, "a line of the kernel is torn"},
		"another sum":     {says(0, 0) + strings.Replace(says(0, 1), ".\r", "0.\r", 1), linux, "is torn"},
		"one in another":  {died(70)[:12] + died(71) + died(70)[12:], bsd, `a line of the kernel is torn: "pid 70 (headpid 71`},
		"a death lost":    {died(71), bsd, "the kernel said 0 times that process 70 died"},
		"a death twice":   {died(70, 70, 71), bsd, "the kernel said 2 times that process 70 died"},
		"a segment torn":  {vain[:60] + "\r\n" + died(70, 71), bsd, "is torn"},
		"no end of words": {strings.Repeat("tcpflags ", 10000) + "\r\n", bsd, "is torn"},
	} {
		t.Run(name, func(t *testing.T) {
			k, err := readKernel([]byte(tt.text), seed)
			if err == nil {
				err = judgeKernel(k, tt.work)
			}
			want := suites.Failed
			if tt.says == "" {
				want = suites.Passed
			}
			check(t, err, want, tt.says)
		})
	}
}
