package orchestrator

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/headwatch/headwatch/runners"
)

// Crash is a crash found in a run.
type Crash struct {
	Run       string
	Title     string
	Signature string
	Kind      string  // its nature, a word of runners.Kind; empty: stored before kinds were told
	Where     string  // file:line, relative to the source root; empty: unknown
	Frames    []Frame // of the first backtrace, innermost first
	Text      string  // as printed, with file and line where the build left a debug file
}

// Frame is a function of a backtrace.
type Frame struct {
	Func    string `json:"func"`              // empty: the kernel had no name
	File    string `json:"file,omitempty"`    // relative to the source root; empty: unknown
	Line    int    `json:"line,omitempty"`    // from 1; 0: unknown
	Inlined bool   `json:"inlined,omitempty"` // into the frame that follows
}

// KnownCrash is what is known of all crashes with one signature.
type KnownCrash struct {
	Crash            // the one that was stored last
	Runs   int       // that showed it
	First  time.Time // when the first of them ended
	Last   time.Time // when the last of them ended
	Places []CrashPlace
}

// CrashPlace says where on an upstream's line, on one target, a crash was seen.
type CrashPlace struct {
	Upstream string
	Target   string
	Runs     int
	First    string // hash of the oldest commit of these runs, by the line's order; empty: none is on the line any more
	Last     string // hash of the newest
}

// Symbols knows the lines of one kernel. runners/symbol has what is needed.
type Symbols interface {
	// Symbolize adds files and lines to a crash's text, and gives its frames with
	// what was inlined into them.
	Symbolize(c runners.Crash) (runners.Crash, []Frame)
	Close() error
}

// symbolTime bounds what adding lines to the crashes of a run may take. Ten
// different reports of fifty places each take five seconds.
const symbolTime = time.Minute

// Symbolizer turns what a console showed into crashes that can be stored.
type Symbolizer struct {
	Builder runners.Builder
	Open    func(debug string) (Symbols, error) // nil: crashes stay as printed
}

// Crashes gives the crashes of a run on an image. They have lines if the image has
// a debug file, which is laid out in dir meanwhile. The list is complete whatever
// the error, which says why crashes stayed as printed: that is no fault of the run.
func (s Symbolizer) Crashes(ctx context.Context, run, image, dir string, found []runners.Crash) ([]Crash, error) {
	out := make([]Crash, 0, len(found))
	traced := false
	for _, c := range found {
		out = append(out, printed(run, c))
		traced = traced || hasPlaces(c)
	}
	if !traced || s.Open == nil {
		return out, nil
	}
	ctx, cancel := context.WithTimeout(ctx, symbolTime)
	defer cancel()
	if err := s.symbolize(ctx, image, dir, found, out); err != nil {
		return out, fmt.Errorf("source lines of a crash: %w", err)
	}
	return out, nil
}

// symbolize replaces crashes by those with lines, one after the other.
func (s Symbolizer) symbolize(ctx context.Context, image, dir string, found []runners.Crash, out []Crash) (err error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	path, err := s.Builder.Debug(ctx, image, dir)
	if err != nil || path == "" {
		return err
	}
	symbols, err := s.Open(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, symbols.Close()) }()
	for i, c := range found {
		if err := ctx.Err(); err != nil {
			return err
		}
		if !hasPlaces(c) {
			continue
		}
		with, frames := symbols.Symbolize(c)
		out[i] = printed(out[i].Run, with)
		out[i].Frames = frames
	}
	return nil
}

// hasPlaces says whether there is anything to look up: a backtrace, or what the runner
// saw of the registers of a guest that hangs and says nothing.
func hasPlaces(c runners.Crash) bool { return len(c.Frames) > 0 || c.Kind == runners.KindHang }

// printed is a crash with what the kernel itself said.
func printed(run string, c runners.Crash) Crash {
	out := Crash{Run: run, Title: c.Title, Signature: c.Signature, Where: c.Where, Text: c.Text}
	if c.Kind != 0 {
		out.Kind = c.Kind.String()
	}
	for _, f := range c.Frames {
		out.Frames = append(out.Frames, Frame{Func: f.Func})
	}
	return out
}
