package main

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/headwatch/headwatch/orchestrator/verdict"
)

// labelNames are what a first column is called that names the values.
var labelNames = []string{"index", "place", "time", "date", "commit", "label"}

// seriesOfCSV reads a column of numbers, or a header and columns.
func seriesOfCSV(raw []byte) ([]namedSeries, error) {
	r := csv.NewReader(bytes.NewReader(raw))
	r.TrimLeadingSpace, r.Comment = true, '#'
	var out []namedSeries
	var labels []string
	var lines []int
	order, first := "", true
	for {
		row, err := r.Read()
		if err == io.EOF {
			break
		}
		if e, ok := errors.AsType[*csv.ParseError](err); ok {
			return nil, fmt.Errorf("line %d: %w", e.Line, e.Err)
		}
		if err != nil {
			return nil, err
		}
		line, _ := r.FieldPos(0)
		if first {
			first = false
			header := !numeric(row)
			if out, order, err = csvColumns(row, header); err != nil {
				return nil, fmt.Errorf("line %d: %w", line, err)
			}
			if header {
				continue
			}
		}
		if order != "" {
			labels, row = append(labels, strings.TrimSpace(row[0])), row[1:]
		}
		lines = append(lines, line)
		for i, cell := range row {
			x, err := strconv.ParseFloat(strings.TrimSpace(cell), 64)
			if err != nil || math.IsNaN(x) || math.IsInf(x, 0) {
				return nil, fmt.Errorf("line %d: %s%q is not a finite number", line, inColumn(out[i].Name), cell)
			}
			out[i].Values = append(out[i].Values, x)
		}
	}
	for i := range out {
		out[i].labels, out[i].lines, out[i].order = labels, lines, order
	}
	return out, nil
}

func inColumn(name string) string {
	if name == "" {
		return ""
	}
	return fmt.Sprintf("column %q: ", name)
}

// csvColumns makes the series that the first row announces, and says what the
// column of labels is called, if there is one.
func csvColumns(row []string, header bool) (out []namedSeries, order string, err error) {
	if !header {
		if len(row) > 1 {
			return nil, "", fmt.Errorf("%d columns without a header: want their names in the first line", len(row))
		}
		return make([]namedSeries, 1), "", nil
	}
	if name := strings.ToLower(strings.TrimSpace(row[0])); slices.Contains(labelNames, name) {
		order, row = name, row[1:]
	}
	if len(row) == 0 {
		return nil, "", fmt.Errorf("a column %s and none of numbers", order)
	}
	seen := map[string]bool{}
	for _, name := range row {
		name = strings.TrimSpace(name)
		if name == "" || seen[name] {
			return nil, "", fmt.Errorf("duplicate or empty name of a column: %q", name)
		}
		seen[name] = true
		out = append(out, namedSeries{Metric: verdict.Metric{Name: name}})
	}
	return out, order, nil
}

// numeric says whether a first row holds values and no names. "nan" is a value, a
// wrong one.
func numeric(row []string) bool {
	return !slices.ContainsFunc(row, func(cell string) bool {
		_, err := strconv.ParseFloat(strings.TrimSpace(cell), 64)
		return err != nil
	})
}
