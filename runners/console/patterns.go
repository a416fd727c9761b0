package console

import (
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/headwatch/headwatch/runners"
)

// pattern is one kind of report.
type pattern struct {
	kind  runners.Kind
	hints []string // literals of which the line contains one
	// find's groups, joined, are the report's title, or as with $1 and so on
	// replaced. See title for how a frame is added.
	find   *regexp.Regexp
	as     string
	ignore []string // words that show the line is something else
	fatal  bool     // the kernel cannot go on
	in     bool     // the top frame becomes part of the title
	// end matches the last line of the report. nil: the first line after its
	// backtrace.
	end    *regexp.Regexp
	wait   int  // lines it may have before its backtrace; 0: maxUntraced
	single bool // one line
	stall  bool // something took too long, and nothing else
	agent  bool // a Go program's, ours most likely: no crash
	alone  bool // only where no report is arriving: else it is part of that
	asked  bool // we asked for it: a CPU that idled when it answered names nothing
	// after says that the report may be the consequence of the one before it, and
	// then is part of it.
	after bool
	// leads matches the titles of reports that are this one's own last word; yields
	// those that name the trouble better than this one.
	leads, yields *regexp.Regexp
	leaves        bool // of a notice: the machine goes down in an orderly way
	// detail refines the title from a further line of the report; it returns the
	// title unchanged when the line says nothing.
	detail func(title, line string) string
}

func re(s string) *regexp.Regexp { return regexp.MustCompile(s) }

var (
	never    = re(`$^`)
	endTrace = re(`---\[ end trace`)
	rule     = re(`^={20,}$`)
)

// table is everything that is recognized. In each list the first row that matches
// a line names it.
type table struct {
	crashes []pattern
	notices []pattern
	words   *filter // of both and of the boot's phases
}

// known builds the table at its first use.
var known = sync.OnceValue(func() *table {
	t := &table{crashes: slices.Concat(hangPatterns(), linuxPatterns(), bsdPatterns(), agentPatterns()), notices: noticePatterns()}
	t.words = newFilter(literals(t.crashes, t.notices))
	return t
})

// Literals lists the words of which a line must contain one to be looked at more
// closely. Lines with an escape sequence or a zero byte are looked at as well.
func Literals() []string { return slices.Clone(known().words.words) }

func literals(lists ...[]pattern) []string {
	var out []string
	for _, list := range lists {
		for _, p := range list {
			out = append(out, p.hints...)
		}
	}
	for _, m := range phaseMarks {
		out = append(out, m.words...)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// match finds the row that a line belongs to, and the title.
func match(rows []pattern, line string) (*pattern, string) {
	for i := range rows {
		p := &rows[i]
		if !containsAny(line, p.hints) || containsAny(line, p.ignore) {
			continue
		}
		m := p.find.FindStringSubmatchIndex(line)
		if m == nil {
			continue
		}
		as := p.as
		if as == "" {
			as = "${1}${2}${3}"
		}
		return p, shorten(string(p.find.ExpandString(nil, as, line, m)))
	}
	return nil, ""
}

func containsAny(s string, words []string) bool {
	for _, w := range words {
		if strings.Contains(s, w) {
			return true
		}
	}
	return false
}
