package console

import (
	"crypto/sha256"
	"encoding/hex"
	"regexp"
	"strings"
)

// clean makes a line fit for matching: no escape sequences, no control
// characters but tab, no kernel time stamp in front.
func clean(line string) string {
	var b strings.Builder
	for i := 0; i < len(line); i++ {
		c := line[i]
		switch {
		case c == 0x1b:
			i += escape(line[i:]) - 1
		case c == '\t', c >= 0x20 && c != 0x7f:
			b.WriteByte(c)
		}
	}
	return stamp.ReplaceAllString(b.String(), "")
}

// stamp is what printk puts before a line: priority, time, caller.
var stamp = regexp.MustCompile(`^(<\d{1,3}>)?(\[ *\d+\.\d{3,}\] ?(\[ *[TC]\d+\] ?)?)?`)

// escape returns the length of the escape sequence that s starts with: CSI to its
// final byte (ECMA-48, 5.4), else two bytes.
func escape(s string) int {
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

var (
	pointer  = regexp.MustCompile(`\b(0x)?[0-9a-f]{12,16}\b|\b0x[0-9a-f]{8,16}\b`)
	fileLine = regexp.MustCompile(`[\w./+-]+\.(c|h|S|rs|cc|cpp)(:\d+)+`)
	address  = regexp.MustCompile(`\b[0-9]{1,3}(\.[0-9]{1,3}){3}\b`)
	number   = regexp.MustCompile(`\b(0x[0-9a-f]+|[0-9]+)`)
	spaces   = regexp.MustCompile(`\s+`)
)

// shorten makes a title of a report's line: pointers, which differ in every
// boot, are replaced; the length is bounded.
func shorten(s string) string {
	s = pointer.ReplaceAllString(s, "ADDR")
	s = strings.TrimSpace(spaces.ReplaceAllString(s, " "))
	if len(s) > 200 {
		s = strings.ToValidUTF8(s[:200], "") + "…"
	}
	return strings.ToValidUTF8(s, "?")
}

// normalize removes from a title what differs between two reports of one bug.
func normalize(s string) string {
	s = pointer.ReplaceAllString(s, "ADDR")
	s = fileLine.ReplaceAllString(s, "FILE")
	s = address.ReplaceAllString(s, "IP")
	s = number.ReplaceAllString(s, "N")
	return strings.TrimSpace(spaces.ReplaceAllString(s, " "))
}

// signatureFrames is how many frames below the panic machinery tell bugs apart.
const signatureFrames = 3

// signature is the hex digest (half of SHA-256) of a normalized title and the top
// frames.
func signature(title string, frames []string) string {
	h := sha256.New()
	h.Write([]byte(normalize(title)))
	for _, f := range frames[:min(len(frames), signatureFrames)] {
		h.Write([]byte("\n" + f))
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}
