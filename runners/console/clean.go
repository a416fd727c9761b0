package console

import (
	"regexp"
	"strings"
)

// clean makes a line fit for matching: no escape sequences, no control
// characters but tab, no kernel time stamp in front.
func clean(line string) string {
	if strings.IndexFunc(line, func(r rune) bool { return r < 0x20 && r != '\t' || r == 0x7f }) >= 0 {
		var b strings.Builder
		for i := 0; i < len(line); i++ {
			c := line[i]
			switch {
			case c == escape:
				i += sequence(line[i:]) - 1
			case c == '\t', c >= 0x20 && c != 0x7f:
				b.WriteByte(c)
			}
		}
		line = b.String()
	}
	return line[len(stamp.FindString(line)):]
}

// stamp is what printk puts before a line: priority, time, caller.
var stamp = regexp.MustCompile(`^(<\d{1,3}>)?(\[ *\d+\.\d{3,}\] ?(\[ *[TC]\d+\] ?)?)?`)

// sequence returns the length of the escape sequence that s starts with: CSI to its
// final byte (ECMA-48, 5.4), else two bytes.
func sequence(s string) int {
	if len(s) < 2 || s[1] != '[' {
		return min(2, len(s))
	}
	for i := 2; i < len(s); i++ {
		if s[i] >= 0x40 && s[i] <= 0x7e {
			return i + 1
		}
		if s[i] < 0x20 {
			return i // broken off by other output
		}
	}
	return len(s)
}
