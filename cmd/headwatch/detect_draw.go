package main

import (
	"slices"
	"strings"
	"unicode"

	"github.com/headwatch/headwatch/orchestrator/verdict"
)

const (
	drawWidth = 72 // columns at most; each is the median of the values that fall into it
	drawBars  = "▁▂▃▄▅▆▇█"
)

// drawSeries is a series in a line of bars, from its least to its greatest column, and a
// line below with ^ where a new level begins.
func drawSeries(values []float64, changes []verdict.Change) string {
	columns := min(len(values), drawWidth)
	if columns == 0 {
		return ""
	}
	column := func(i int) int { return i * columns / len(values) }
	in := make([][]float64, columns)
	for i, v := range values {
		in[column(i)] = append(in[column(i)], v)
	}
	heights := make([]float64, columns)
	for i, v := range in {
		slices.Sort(v)
		heights[i] = v[len(v)/2]
	}
	bars := []rune(drawBars)
	low, high := slices.Min(heights), slices.Max(heights)
	var b strings.Builder
	for _, h := range heights {
		bar := 0
		if high > low { // halves, since the range may be more than a float holds
			bar = int((h/2 - low/2) / (high/2 - low/2) * (float64(len(bars)) - .001))
		}
		b.WriteRune(bars[min(max(bar, 0), len(bars)-1)])
	}
	b.WriteByte('\n')
	marks := []rune(strings.Repeat(" ", columns))
	for _, c := range changes {
		marks[column(c.Index)] = '^'
	}
	if len(changes) > 0 {
		b.WriteString(strings.TrimRight(string(marks), " ") + "\n")
	}
	return b.String()
}

// printable keeps what a file calls a series from steering a terminal.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return '�'
	}, s)
}
