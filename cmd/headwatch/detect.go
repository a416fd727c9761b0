package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/headwatch/headwatch/orchestrator/verdict"
)

// detectOptions are the flags of detect.
type detectOptions struct {
	quantity string
	least    float64 // per cent of the old level
	draw     bool
}

func detectCommand(a *app) *cobra.Command {
	var o detectOptions
	cmd := &cobra.Command{
		Use: "detect [FILE]", Short: "find where series changed", Args: cobra.MaximumNArgs(1),
		Long: `Reads series of numbers, oldest first, from FILE or standard input, and prints where
they went to another level: the first value of the new level (counted from 0), the
range that holds it with 95 %, the levels before and after, and the p-value of a rank
test. Series that are given together share one rate of false alarms.

JSON:  [1, 2, …]   {"name": [1, 2, …], …}
       [{"name": …, "quantity": …, "least": …, "labels": [...], "values": [...]}, …]
CSV:   one number per line, or a header and one column for each series; a first column
       that is called index, place, time, date, commit or label names the values.

Exit code 0 whether or not something changed, 128 for input that cannot be read.`,
		RunE: func(_ *cobra.Command, args []string) error { return a.detect(args, o) },
	}
	cmd.Flags().StringVar(&o.quantity, "quantity", "plain", "what the numbers are: plain, throughput, duration, count or leak")
	cmd.Flags().Float64Var(&o.least, "least", 0, "least change that is told, in `per cent` of the old level (0: 3 for throughput, 5 for duration)")
	cmd.Flags().BoolVar(&o.draw, "draw", false, "draw the series also when standard output is no terminal")
	return cmd
}

func (a *app) detect(args []string, o detectOptions) error {
	quantity, err := verdict.ParseQuantity(o.quantity)
	if err != nil {
		return usagef("--quantity: %w", err)
	}
	if !(o.least >= 0 && o.least <= 1e6) {
		return usagef("--least %g: want per cent of the old level, 0 or more", o.least)
	}
	series, err := readSeries(args, os.Stdin)
	if err != nil {
		return &exitError{exitUsage, err}
	}
	var problems []error
	metrics := make([]verdict.Metric, len(series))
	for i := range series {
		s := &series[i]
		if s.Quantity == "" {
			s.Quantity = quantity
		}
		if s.Least == 0 {
			s.Least = o.least / 100
		}
		metrics[i] = s.Metric
		if err := s.check(); err != nil {
			problems = append(problems, err)
		}
	}
	if len(problems) > 0 {
		return &exitError{exitUsage, errors.Join(problems...)}
	}
	found := verdict.Changes(metrics)
	if a.json {
		return rig(a.document(detectDoc(series, found)))
	}
	tellChanges(a.stdout, series, found, o.draw || isTerminal(a.stdout))
	return nil
}

// detectDocument is what detect prints with --json.
type detectDocument struct {
	Series       int           `json:"series"`
	Points       int           `json:"points"` // of all series
	ChangePoints []changePoint `json:"change_points"`
}

type changePoint struct {
	Series    string  `json:"series,omitempty"`
	Index     int     `json:"index"` // first point of the new level, from 0
	Label     string  `json:"label,omitempty"`
	First     int     `json:"first"` // the range that holds it with 95 %
	Last      int     `json:"last"`
	Before    float64 `json:"before"`
	After     float64 `json:"after"`
	PValue    float64 `json:"p_value"`
	Sigmas    float64 `json:"sigmas"`
	Direction string  `json:"direction"` // worse, better, changed
}

func detectDoc(series []namedSeries, found [][]verdict.Change) detectDocument {
	doc := detectDocument{Series: len(series), ChangePoints: []changePoint{}}
	for i, s := range series {
		doc.Points += len(s.Values)
		for _, c := range found[i] {
			p := changePoint{
				Series: s.Name, Index: c.Index, First: c.First, Last: c.Last, Before: c.Before, After: c.After,
				PValue: c.P, Sigmas: c.Sigmas, Direction: string(c.Direction),
			}
			if s.labels != nil {
				p.Label = s.labels[c.Index]
			}
			doc.ChangePoints = append(doc.ChangePoints, p)
		}
	}
	return doc
}

// tellChanges prints what people read: a line for each change, and the series drawn
// above its changes.
func tellChanges(w io.Writer, series []namedSeries, found [][]verdict.Change, draw bool) {
	told, points := 0, 0
	for i, s := range series {
		points += len(s.Values)
		told += len(found[i])
		prefix := ""
		if s.Name != "" {
			prefix = printable(s.Name) + ": "
		}
		if draw && (len(found[i]) > 0 || len(series) == 1) {
			fmt.Fprint(w, strings.TrimSuffix(prefix, " "), "\n", drawSeries(s.Values, found[i]))
		}
		for _, c := range found[i] {
			fmt.Fprintf(w, "%s%s\n", prefix, changeLine(s, c))
		}
	}
	if told == 0 {
		fmt.Fprintf(w, "no change in %d series, %d values\n", len(series), points)
	}
}

func changeLine(s namedSeries, c verdict.Change) string {
	at := fmt.Sprint(c.Index)
	if s.labels != nil {
		at += " " + printable(s.labels[c.Index])
	}
	if c.First < c.Last {
		at += fmt.Sprintf(" (%d to %d)", c.First, c.Last)
	}
	by := ""
	if c.Before != 0 {
		by = fmt.Sprintf(", %+.3g %%", 100*(c.After-c.Before)/max(c.Before, -c.Before))
	}
	return fmt.Sprintf("%s: %.6g → %.6g%s, %s (p %.2g)", at, c.Before, c.After, by, c.Direction, c.P)
}
