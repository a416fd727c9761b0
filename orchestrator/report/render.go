package report

import (
	"embed"
	"fmt"
	"io"
	"strings"
	"text/template"
	"time"
)

//go:embed text.tmpl markdown.tmpl
var files embed.FS

// Format is how a report is written. The zero value is invalid.
type Format string

// Formats.
const (
	Text     Format = "text"
	Markdown Format = "markdown"
)

// ParseFormat reads the name of a format.
func ParseFormat(s string) (Format, error) {
	switch f := Format(s); f {
	case Text, Markdown:
		return f, nil
	}
	return "", fmt.Errorf("unknown format %q: want text or markdown", s)
}

// maxChanges bounds the paths that are listed, and maxLines what is quoted of a crash.
const (
	maxChanges = 30
	maxLines   = 120
)

var templates = template.Must(template.New("").Funcs(template.FuncMap{
	"short": func(hash string) string { return hash[:min(12, len(hash))] },
	"date":  func(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 MST") },
	"percent": func(x float64) string {
		if x > .9999 {
			return "more than 99.99 %"
		}
		return fmt.Sprintf("%.2f %%", 100*x)
	},
	"rate": rate, "lines": lines, "code": code, "plain": plain, "wrap": wrap,
	"listed":  func(c []Change) []Change { return c[:min(len(c), maxChanges)] },
	"omitted": func(c []Change) int { return max(0, len(c)-maxChanges) },
	"known":   func(n int) bool { return n >= 0 },
}).ParseFS(files, "*.tmpl"))

// Write renders a report.
func Write(w io.Writer, r Report, f Format) error {
	return templates.ExecuteTemplate(w, string(f)+".tmpl", r)
}

// rate says how often a case failed, with the limits that the chance lies within with
// 95 % (Clopper and Pearson, 1934).
func rate(r Report, c Count) string {
	switch {
	case r.Case == "build" && c.Failed > 0:
		return "does not build" // compilers do not flake
	case r.Case == "build" && c.Passed > 0:
		return "builds"
	case c.Boots() == 0:
		return "not run"
	}
	lo, hi := limits(c.Failed, c.Boots())
	return fmt.Sprintf("failed in %d of %d boots (95 %%: %s to %s)", c.Failed, c.Boots(), chance(lo), chance(hi))
}

func chance(x float64) string { return fmt.Sprintf("%.3g", x) }

// plain makes one line of text from outside, without control characters.
func plain(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, s)
	return strings.Join(strings.Fields(s), " ")
}

// lines gives the lines of a kernel's report, without control characters.
func lines(s string) []string {
	all := strings.Split(strings.TrimRight(s, "\n"), "\n")
	if len(all) > maxLines {
		all = append(all[:maxLines:maxLines], fmt.Sprintf("[%d lines more]", len(all)-maxLines))
	}
	for i, l := range all {
		all[i] = strings.TrimRight(strings.Map(func(r rune) rune {
			switch {
			case r == '\t':
				return ' '
			case r < ' ', r == 0x7f, r == '`':
				return -1 // a backtick could end the block that quotes it
			}
			return r
		}, l), " ")
	}
	return all
}

// code quotes a word for Markdown.
func code(s string) string { return "`" + strings.ReplaceAll(plain(s), "`", "'") + "`" }

// wrap breaks text at width columns and indents what follows the first line.
func wrap(width, indent int, s string) string {
	var b strings.Builder
	column := indent
	for i, word := range strings.Fields(plain(s)) {
		n := len([]rune(word))
		switch {
		case i == 0:
		case column+1+n > width:
			b.WriteString("\n" + strings.Repeat(" ", indent))
			column = indent
		default:
			b.WriteByte(' ')
			column++
		}
		b.WriteString(word)
		column += n
	}
	return b.String()
}
