package console

import (
	"crypto/sha256"
	"encoding/hex"
	"regexp"
	"strings"

	"github.com/headwatch/headwatch/runners"
)

var (
	pointer  = regexp.MustCompile(`\b(0x)?[0-9a-f]{12,16}\b|\b0x[0-9a-f]{5,16}\b`)
	sources  = regexp.MustCompile(`(?:/[\w.+@-]+)+/(sys/[\w./+-]+\.(?:c|h|S|m|cc|cpp)\b)|(?:\.\./)+([\w./+-]+\.(?:c|h|S|m|cc|cpp)\b)`)
	fileLine = regexp.MustCompile(`([\w./+-]+\.(?:c|h|S|m|rs|cc|cpp)):(\d+)(?::\d+)?`)
	address  = regexp.MustCompile(`\b[0-9]{1,3}(\.[0-9]{1,3}){3}\b`)
	cpu      = regexp.MustCompile(`\b(?i:cpu)[ #]?[0-9]+\b`)
	process  = regexp.MustCompile(`\b(pid|tid|uid|jid|time|ticks|val|flags|r)( ?=? ?)(0x[0-9a-f]+|[0-9]+)\b`)
	number   = regexp.MustCompile(`\b(0x[0-9a-f]+|[0-9]+)`)
	spaces   = regexp.MustCompile(`\s+`)
)

// maxTitle bounds a title, in bytes.
const maxTitle = 200

// shorten makes a title of a report's line. What differs in every boot (pointers,
// processors, process ids, network addresses) is replaced, a source file keeps its
// name from the root of the tree on and loses its line, which is said elsewhere;
// other numbers stay: they may be what the report is about.
func shorten(s string) string {
	s = pointer.ReplaceAllString(s, "ADDR")
	s = sources.ReplaceAllString(s, "$1$2")
	s = fileLine.ReplaceAllString(s, "$1")
	s = address.ReplaceAllString(s, "IP")
	s = cpu.ReplaceAllString(s, "CPU")
	s = process.ReplaceAllString(s, "$1${2}N")
	s = strings.TrimSpace(spaces.ReplaceAllString(s, " "))
	if len(s) > maxTitle {
		s = strings.ToValidUTF8(s[:maxTitle], "") + "…"
	}
	return strings.ToValidUTF8(s, "?")
}

// place returns the first file:line in a report's line, relative to the source
// tree; empty: there is none.
func placeOf(s string) string {
	m := fileLine.FindStringSubmatch(sources.ReplaceAllString(s, "$1$2"))
	if m == nil || len(m[1]) > maxTitle {
		return ""
	}
	return m[1] + ":" + m[2]
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
func signature(title string, frames []runners.Frame) string {
	h := sha256.New()
	h.Write([]byte(normalize(title)))
	for _, f := range frames[:min(len(frames), signatureFrames)] {
		h.Write([]byte("\n" + f.Func))
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}
