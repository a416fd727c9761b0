package orchestrator

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/headwatch/headwatch/runners"
	"github.com/headwatch/headwatch/suites"
)

// fakeSymbols knows one line for everything; runners/symbol is tested with real
// files. It reads its file when it is opened, so that must be there.
type fakeSymbols struct {
	line   string
	closed *int
	slow   func()
}

func (s fakeSymbols) Symbolize(c runners.Crash) (runners.Crash, []Frame) {
	if s.slow != nil {
		s.slow()
	}
	c.Text += "[" + s.line + "]"
	c.Where = s.line
	if len(c.Frames) == 0 { // of a hang: from its samples
		return c, []Frame{{Func: "sampled", File: "a.c", Line: 3}}
	}
	return c, []Frame{{Func: "inner", File: "a.c", Line: 1, Inlined: true}, {Func: c.Frames[0].Func, File: "a.c", Line: 2}}
}

func (s fakeSymbols) Close() error { *s.closed++; return nil }

var (
	panicked = runners.Crash{Title: "panic: x", Signature: "ab", Kind: runners.KindFatal, Text: "panic: x\n", Frames: []runners.Frame{{Func: "tcp_output"}}}
	silent   = runners.Crash{Title: "reset", Signature: "cd", Kind: runners.KindReset, Text: "reset\n"}
)

func TestCrashesGetLines(t *testing.T) {
	closed := 0
	opens := func(path string) (Symbols, error) {
		line, err := os.ReadFile(path)
		return fakeSymbols{line: string(line), closed: &closed}, err
	}
	plain := []Crash{
		{Run: "r", Title: "panic: x", Signature: "ab", Kind: "fatal", Text: "panic: x\n", Frames: []Frame{{Func: "tcp_output"}}},
		{Run: "r", Title: "reset", Signature: "cd", Kind: "reset", Text: "reset\n"},
	}
	lined := []Crash{plain[0], plain[1]}
	lined[0].Text, lined[0].Where = "panic: x\n[a.c:1]", "a.c:1"
	lined[0].Frames = []Frame{{Func: "inner", File: "a.c", Line: 1, Inlined: true}, {Func: "tcp_output", File: "a.c", Line: 2}}
	for name, tt := range map[string]struct {
		rig   fakeRig
		open  func(string) (Symbols, error)
		want  []Crash
		fails string
	}{
		"debug file":    {fakeRig{debug: "a.c:1"}, opens, lined, ""},
		"none":          {fakeRig{}, opens, plain, ""},
		"nobody reads":  {fakeRig{debug: "a.c:1"}, nil, plain, ""},
		"damaged store": {fakeRig{debugErr: errors.New("attachment cut short")}, opens, plain, "attachment cut short"},
		"damaged file": {fakeRig{debug: "x"}, func(path string) (Symbols, error) {
			return nil, fmt.Errorf("debug file %s: bad magic", path)
		}, plain, "bad magic"},
	} {
		closed = 0
		dir := filepath.Join(t.TempDir(), "work")
		got, err := Symbolizer{&tt.rig, tt.open}.Crashes(t.Context(), "r", "sha256:0", dir, []runners.Crash{panicked, silent})
		if d := cmp.Diff(tt.want, got); d != "" {
			t.Errorf("%s: %s", name, d)
		}
		if fails := err != nil; fails != (tt.fails != "") || fails && !strings.Contains(err.Error(), tt.fails) {
			t.Errorf("%s: error %v, want %q", name, err, tt.fails)
		}
		if _, err := os.Stat(dir); err == nil || closed != len(got[0].Frames)-1 {
			t.Errorf("%s: the folder is left (%v), or the file open (closed %d times)", name, err, closed)
		}
	}
	// A hang without a backtrace has program counters.
	hang := runners.Crash{Title: "hang: x", Signature: "ef", Kind: runners.KindHang, Text: "cpu0 at 0xffffffff80b12345\n"}
	got, err := Symbolizer{&fakeRig{debug: "a.c:1"}, opens}.Crashes(t.Context(), "r", "sha256:0", t.TempDir(), []runners.Crash{silent, hang})
	if err != nil || got[0].Text != silent.Text || got[1].Where != "a.c:1" || len(got[1].Frames) != 1 || got[1].Frames[0].Func != "sampled" {
		t.Errorf("%+v, %v", got, err)
	}
	// Nothing is laid out for crashes that have neither.
	untouched := fakeRig{debugErr: errors.New("asked for")}
	if _, err := (Symbolizer{&untouched, opens}).Crashes(t.Context(), "r", "i", t.TempDir(), []runners.Crash{silent}); err != nil {
		t.Error(err)
	}
}

// Adding lines ends in time, and what has none by then is as it was printed.
func TestLinesTakeBoundedTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		closed := 0
		open := func(string) (Symbols, error) {
			return fakeSymbols{line: "a.c:1", closed: &closed, slow: func() { time.Sleep(40 * time.Second) }}, nil
		}
		got, err := Symbolizer{&fakeRig{debug: "x"}, open}.Crashes(t.Context(), "r", "i", t.TempDir(), []runners.Crash{panicked, panicked, panicked})
		if !errors.Is(err, context.DeadlineExceeded) || len(got) != 3 || closed != 1 {
			t.Fatalf("%v, %d crashes, closed %d times", err, len(got), closed)
		}
		if got[1].Where != "a.c:1" || got[2].Where != "" || got[2].Title != "panic: x" {
			t.Errorf("%+v", got)
		}
	})
}

// keptConsole is a console whose log is kept nowhere.
type keptConsole struct{ fakeConsole }

func (*keptConsole) Save(string) error { return nil }
func (*keptConsole) Close() error      { return nil }

// ends is a journal that takes a run's end.
type ends struct {
	Journal
	run       Run
	crashes   []Crash
	artifacts []Artifact
	err       error
}

func (e *ends) FinishRun(_ context.Context, r Run, crashes []Crash, artifacts ...Artifact) error {
	e.run, e.crashes, e.artifacts = r, crashes, artifacts
	return e.err
}

// A debug file that cannot be read is no fault of the run: it ends as it would, and
// the log says why its crashes have no lines.
func TestUnreadableDebugFileFailsNoRun(t *testing.T) {
	var journal ends
	var log strings.Builder
	w := Worker{
		Store: &journal, Builder: &fakeRig{debugErr: errors.New("attachment cut short")}, Places: Places{Root: t.TempDir()},
		Symbols: func(string) (Symbols, error) { return nil, io.EOF }, Notify: func(Event) {}, Log: slog.New(slog.NewTextHandler(&log, nil)),
	}
	console := &keptConsole{fakeConsole{crashes: []runners.Crash{panicked}}}
	if err := w.finishRun(t.Context(), Run{ID: "r", Status: suites.Failed}, console, NewKeeper(filepath.Join(t.TempDir(), "kept"), false), nil); err != nil {
		t.Fatal(err)
	}
	if journal.run.Status != suites.Failed || len(journal.crashes) != 1 || journal.crashes[0].Kind != "fatal" {
		t.Errorf("stored %+v, %+v", journal.run, journal.crashes)
	}
	if !strings.Contains(log.String(), "attachment cut short") {
		t.Errorf("log: %s", log.String())
	}
}
