package pipeline

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"
)

// maxProblems bounds what is kept of a file that is wrong throughout.
const maxProblems = 1000

// Problem is one thing wrong with a file. Line and Column count from 1; the
// column counts characters, and is 1 where YAML's parser knows only the line.
type Problem struct {
	File         string
	Line, Column int
	Message      string // one line: what was expected, and what was found
}

func (p Problem) String() string {
	return fmt.Sprintf("%s:%d:%d: %s", p.File, p.Line, p.Column, p.Message)
}

// Error is all that is wrong with a file, sorted by place. It is never empty.
type Error struct{ Problems []Problem }

// Error lists one problem per line.
func (e *Error) Error() string {
	lines := make([]string, len(e.Problems))
	for i, p := range e.Problems {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

// problems collects what is wrong while a file is read.
type problems struct {
	file    string
	list    []Problem
	dropped int
}

// add notes a problem at a node.
func (p *problems) add(at *yaml.Node, format string, args ...any) {
	p.addAt(at.Line, at.Column, format, args...)
}

func (p *problems) addAt(line, column int, format string, args ...any) {
	if p.full() {
		p.dropped++
		return
	}
	p.list = append(p.list, Problem{p.file, max(line, 1), max(column, 1), fmt.Sprintf(format, args...)})
}

// full says that further problems are only counted.
func (p *problems) full() bool { return len(p.list) >= maxProblems }

// err gives the problems as an error, or nil when there are none.
func (p *problems) err() error {
	if len(p.list) == 0 {
		return nil
	}
	slices.SortStableFunc(p.list, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column), cmp.Compare(a.Message, b.Message))
	})
	list := slices.Compact(p.list)
	if p.dropped > 0 {
		last := list[len(list)-1]
		last.Message = fmt.Sprintf("%d further problems are not shown", p.dropped)
		list = append(list, last)
	}
	return &Error{list}
}

// quote shows a word of the file: escaped, because it may go to a terminal, and
// cut, because it may be long.
func quote(word string) string {
	const limit = 60
	if runes := []rune(word); len(runes) > limit {
		word = string(runes[:limit]) + "…"
	}
	return strconv.Quote(word)
}

// oneOf writes a choice: "a", "a or b", "a, b or c".
func oneOf(words []string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	last := len(words) - 1
	return strings.Join(words[:last], ", ") + " or " + words[last]
}
