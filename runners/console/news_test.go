package console

import (
	"fmt"
	"strings"
	"testing"
)

func TestNews(t *testing.T) {
	waits := "Root mount waiting for: CAM usbus0\r\n"
	for name, c := range map[string]struct {
		said  []string
		moved []bool // by each
	}{
		"a kernel that waits":      {[]string{waits, waits, waits, "usbus0: 480Mbps\r\n", waits}, []bool{true, false, false, true, false}},
		"printk's time is no news": {[]string{"[    1.000000] waiting\n", "[    2.000000] waiting\n"}, []bool{true, false}},
		"a count is":               {[]string{"10 % done\n", "20 % done\n"}, []bool{true, true}},
		"dots":                     {[]string{"loading ", ".", ".", "\n"}, []bool{true, true, true, false}},
		"a spinner":                {[]string{"text=0x1 |", "\b/", "\b-", "\b\\"}, []bool{true, true, true, true}},
		"a prompt, again":          {[]string{"\r\nmountroot> ", "\r\nmountroot> "}, []bool{true, false}},
		"nothing":                  {[]string{"\r\n", "\x1b[0m\r\n", "\r\r\n"}, []bool{false, false, false}},
	} {
		n := NewNews()
		for i, s := range c.said {
			before := n.Count()
			n.Write([]byte(s))
			if moved := n.Count() > before; moved != c.moved[i] {
				t.Errorf("%s: step %d, %q: new is %v", name, i, s, moved)
			}
		}
	}
}

// Who talks for ever costs no memory, and news stay news.
func TestNewsAreBounded(t *testing.T) {
	n := NewNews()
	for i := range 3 * maxNews {
		fmt.Fprintf(n, "line %d\n", i)
	}
	n.Write([]byte(strings.Repeat("x", 1<<20)))
	if len(n.said) > maxNews || len(n.lines.buf) > maxLine || n.Count() < 3*maxNews {
		t.Errorf("%d of %d are kept, %d bytes", len(n.said), n.Count(), len(n.lines.buf))
	}
}
