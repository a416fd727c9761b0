package web

import (
	"fmt"
	"html/template"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/headwatch/headwatch/web/api"
)

// funcs are what the templates call. They return text, never HTML: escaping
// stays with html/template.
func (s *site) funcs() template.FuncMap {
	return template.FuncMap{
		"asset": func(name string) string {
			return "/static/" + name + "?v=" + s.assets[name].version
		},
		"visible":     visible,
		"visibleText": visibleText,
		"short":       short,
		"symbol":      symbol,
		"word":        word,
		"state":       runWord,
		"built": func(b api.Build) string {
			if b.Status == "" {
				return waiting
			}
			return b.Status
		},
		"dur":     duration,
		"ago":     func(t time.Time) string { return age(s.opt.Now().Sub(t)) },
		"utc":     func(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") },
		"stamp":   func(t time.Time) string { return t.UTC().Format(time.RFC3339) },
		"percent": percent,
		"number":  number,
		"bytes":   size,
		"picture": isPicture,
		"shown":   func(mediaType string) bool { _, ok := servedAs(mediaType); return ok },
		"metric":  metric,
		"noun":    noun,
		"plural":  func(n int, one string) string { return number(n) + " " + noun(n, one) },
	}
}

// short abbreviates a hash or digest to ten digits.
func short(hash string) string {
	hash = strings.TrimPrefix(hash, "sha256:")
	if len(hash) > 10 {
		hash = hash[:10]
	}
	return visible(hash)
}

// symbol stands beside the colour of a state, for those who do not see it.
func symbol(state string) string {
	switch state {
	case "passed", "located", "fixed":
		return "✓"
	case "failed":
		return "✗"
	case "broken", "ranged":
		return "!"
	case "skipped", "abandoned", "withdrawn":
		return "–"
	case "expected_failure":
		return "≈"
	case running, "open":
		return "●"
	case waiting:
		return "○"
	}
	return "?"
}

// word is a state as people read it.
func word(state string) string {
	switch state {
	case "expected_failure":
		return "expected failure"
	case "open":
		return "searching"
	case "located":
		return "culprit found"
	case "ranged":
		return "range only"
	case "lock_order":
		return "lock order"
	}
	return state
}

// runWord is a run's status once it has one, else its state.
func runWord(r api.RunSummary) string {
	if r.Status != "" && r.State != "abandoned" {
		return r.Status
	}
	return r.State
}

// duration shows seconds with about three digits.
func duration(s float64) string {
	switch {
	case s < 0.0005:
		return "0 ms"
	case s < 1:
		return fmt.Sprintf("%.0f ms", s*1e3)
	case s < 10:
		return fmt.Sprintf("%.2f s", s)
	case s < 59.95:
		return fmt.Sprintf("%.1f s", s)
	}
	total := int(math.Round(s))
	if total < 3600 {
		return fmt.Sprintf("%d min %02d s", total/60, total%60)
	}
	return fmt.Sprintf("%d h %02d min", total/3600, total%3600/60)
}

// size shows bytes with about three digits.
func size(n int64) string {
	switch {
	case n < 1<<10:
		return fmt.Sprintf("%d bytes", n)
	case n < 1<<20:
		return fmt.Sprintf("%.1f KiB", float64(n)/(1<<10))
	}
	return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
}

// age shows how long ago something was, in its largest unit.
func age(d time.Duration) string {
	const day = 24 * time.Hour
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%d s", max(0, int(d/time.Second)))
	case d < time.Hour:
		return fmt.Sprintf("%d min", d/time.Minute)
	case d < 2*day:
		return fmt.Sprintf("%d h", d/time.Hour)
	case d < 90*day:
		return fmt.Sprintf("%d d", d/day)
	}
	months := fmt.Sprintf("%d mo", d%(365*day)/(30*day))
	if d < 365*day {
		return months
	}
	return fmt.Sprintf("%d y ", d/(365*day)) + months
}

// percent rounds down: nothing short of certainty is shown as 100 %.
func percent(p float64) string {
	return strconv.FormatFloat(math.Floor(p*1000)/10, 'f', 1, 64) + " %"
}

// number groups the digits of large numbers with narrow spaces.
func number(n int) string {
	s := strconv.Itoa(n)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "\u202f" + s[i:]
	}
	return s
}

func noun(n int, one string) string {
	if n == 1 {
		return one
	}
	return one + "s"
}

// metric shows a measured value with up to five digits.
func metric(v float64) string {
	if v == math.Trunc(v) && math.Abs(v) < 1e9 {
		return number(int(v))
	}
	return strconv.FormatFloat(v, 'g', 5, 64)
}
