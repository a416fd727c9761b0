package watch

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/headwatch/headwatch/orchestrator"
)

// logFormat prints a commit as fields, each ended by a NUL; the one that -z puts
// between commits ends the last. A commit's message ends at its first NUL, so no
// field holds one.
const (
	logFormat = "format:%H%x00%P%x00%ct%x00%an%x00%ae%x00%s"
	logFields = 6
)

const (
	maxHash    = 64      // hex digits of a SHA-256 object id
	maxField   = 4 << 10 // bytes of a printed field that are looked at
	maxName    = 200     // bytes of an author's name or address that are kept
	maxSubject = 500     // bytes of a subject that are kept
)

// lastSecond is the end of the year 9999, the last that JSON and SQLite can tell.
const lastSecond = 253402300799

// logReader reads what git log -z prints in logFormat, as an io.Writer, so that
// a commit of any size takes little memory. End ends the last commit.
type logReader struct {
	upstream string
	position int // of the next commit; its first parent has one less
	commits  []orchestrator.Commit

	fields [logFields][]byte
	n      int  // fields complete
	begun  bool // something of a commit was read
}

func (r *logReader) Write(p []byte) (int, error) {
	for rest := p; len(rest) > 0; {
		r.begun = true
		end := bytes.IndexByte(rest, 0)
		part := rest
		if end >= 0 {
			part = rest[:end]
		}
		f := &r.fields[r.n]
		*f = append(*f, part[:min(len(part), maxField-len(*f))]...)
		if end < 0 {
			break
		}
		rest = rest[end+1:]
		if r.n++; r.n == logFields {
			if err := r.record(); err != nil {
				return 0, err
			}
		}
	}
	return len(p), nil
}

// End takes the last commit, which has no NUL behind it, and returns all in the
// order in which they were printed.
func (r *logReader) End() ([]orchestrator.Commit, error) {
	if r.begun {
		if r.n != logFields-1 {
			return nil, fmt.Errorf("git log stopped after %d of a commit's %d fields", r.n, logFields)
		}
		if err := r.record(); err != nil {
			return nil, err
		}
	}
	return r.commits, nil
}

func (r *logReader) record() error {
	f := r.fields
	hash := string(f[0])
	parent, _, _ := strings.Cut(string(f[1]), " ")
	if !isHash(hash) || (parent != "" && !isHash(parent)) {
		return fmt.Errorf("git log printed hash %q with parent %q", hash, parent)
	}
	r.commits = append(r.commits, orchestrator.Commit{
		Upstream: r.upstream,
		Hash:     hash,
		Parent:   parent,
		Position: r.position,
		Time:     commitTime(string(f[2])),
		Author:   text(f[3], maxName),
		Email:    text(f[4], maxName),
		Subject:  text(f[5], maxSubject),
	})
	r.position--
	r.n, r.begun = 0, false
	for i := range r.fields {
		r.fields[i] = r.fields[i][:0]
	}
	return nil
}

// commitTime reads seconds since 1970. A commit without a time that can be told
// is dated 1970.
func commitTime(s string) time.Time {
	sec, err := strconv.ParseInt(strings.TrimSpace(s), 10, 64)
	if err != nil {
		sec = 0
	}
	return time.Unix(min(max(sec, 0), lastSecond), 0).UTC()
}

// text makes valid, printable UTF-8 of at most limit bytes. What it cannot keep
// ends in an ellipsis.
func text(b []byte, limit int) string {
	s := strings.TrimSpace(printable(string(b)))
	if len(s) <= limit {
		return s
	}
	const more = "…"
	cut := limit - len(more)
	for cut > 0 && !utf8.RuneStart(s[cut]) {
		cut--
	}
	return strings.TrimSpace(s[:cut]) + more
}

// isHash says whether s is a full object id, SHA-1 or SHA-256, in lower case.
func isHash(s string) bool {
	if len(s) != 40 && len(s) != maxHash {
		return false
	}
	for _, r := range s {
		if (r < '0' || r > '9') && (r < 'a' || r > 'f') {
			return false
		}
	}
	return true
}
