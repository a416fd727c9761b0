package orchestrator

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/headwatch/headwatch/orchestrator/pipeline"
	"github.com/headwatch/headwatch/suites"
)

// keeps is a case that keeps files of the given sizes and returns err.
func keeps(name string, err error, sizes map[string]int) suites.Case {
	return caseOf(name, func(_ context.Context, t *suites.T) error {
		for name, size := range sizes {
			t.Save(name, "application/octet-stream", func(w io.Writer) error {
				_, err := w.Write(make([]byte, size))
				return err
			})
		}
		return err
	})
}

// tree lists the files below a folder; nil when there is none.
func tree(t *testing.T, dir string) (out []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			rel, _ := filepath.Rel(dir, path)
			out = append(out, rel)
		}
		return err
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	slices.Sort(out)
	return out
}

// TestWhatIsKept: everything of a case that went wrong, and what is small of the others.
func TestWhatIsKept(t *testing.T) {
	big, bad := smallArtifact+1, suites.Failf("lost 3 bytes")
	sizes := map[string]int{"plot.svg": 1000, "wire.pcapng": big}
	parts := caseOf("parts", func(_ context.Context, t *suites.T) error {
		t.Save("log", "text/plain", func(w io.Writer) error { _, err := w.Write(make([]byte, big)); return err })
		return t.Report(suites.Result{Case: "s/part", Status: suites.Failed, Reason: "no"})
	})
	crashing := func(f *fakeRig) suites.Case {
		c := keeps("crashes", nil, sizes)
		run := c.Run
		c.Run = func(ctx context.Context, t *suites.T) error {
			f.crashes = append(f.crashes, "panic: x")
			return run(ctx, t)
		}
		return c
	}
	f := newFake()
	cases := []suites.Case{
		keeps("fails", bad, sizes), keeps("breaks", errors.New("socket closed"), sizes),
		keeps("passes", nil, sizes), keeps("skips", suites.Skipf("no"), sizes), parts, crashing(f),
	}
	wrong := []string{"breaks/plot.svg", "breaks/wire.pcapng", "crashes/plot.svg", "crashes/wire.pcapng", "fails/plot.svg", "fails/wire.pcapng"}
	for all, want := range map[bool][]string{
		false: slices.Concat(wrong, []string{"parts/log", "passes/plot.svg", "skips/plot.svg"}),
		true:  slices.Concat(wrong, []string{"parts/log", "passes/plot.svg", "passes/wire.pcapng", "skips/plot.svg", "skips/wire.pcapng"}),
	} {
		e, _ := f.execution(t, cases...)
		root := t.TempDir()
		k := NewKeeper(filepath.Join(root, "work", "r-artifacts"), all)
		e.Artifacts = k
		var r Run
		if _, err := e.Do(t.Context(), pipeline.Machine{}, time.Minute, &r); err != nil {
			t.Fatal(err)
		}
		got, err := k.Place(root, filepath.Join("artifacts", "r"), "r")
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, tree(t, filepath.Join(root, "artifacts", "r"))); diff != "" {
			t.Errorf("all %v, files (-want +got):\n%s", all, diff)
		}
		for _, a := range got {
			content, err := os.ReadFile(filepath.Join(root, a.Path))
			if err != nil || int64(len(content)) != a.Size || fmt.Sprintf("%x", sha256.Sum256(content)) != a.SHA256 || a.Run != "r" || a.MediaType == "" {
				t.Errorf("%+v: %v", a, err)
			}
		}
		if len(got) != len(want) || k.Close() != nil || len(tree(t, filepath.Join(root, "work"))) > 0 {
			t.Errorf("%d artifacts, in flight %q", len(got), tree(t, filepath.Join(root, "work")))
		}
	}
}

// TestSmallFilesHaveALimit: many small files are much, too.
func TestSmallFilesHaveALimit(t *testing.T) {
	k := NewKeeper(t.TempDir(), false)
	n := 0
	for k.worth(smallArtifact) {
		n++
	}
	if n != smallArtifacts/smallArtifact || k.worth(1) || !NewKeeper("", true).worth(maxArtifact) {
		t.Errorf("%d files of %d bytes", n, smallArtifact)
	}
}

// TestKeepRefuses: names, types and amounts have limits, and the case hears of it.
func TestKeepRefuses(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "flight")
	k := NewKeeper(dir, false)
	c := k.begin("tcp/loss")
	for name, mediaType := range map[string]string{
		"": "text/plain", "..": "text/plain", ".part": "text/plain", "a/b": "text/plain", "A": "text/plain", "a\n": "text/plain",
		strings.Repeat("a", 101): "text/plain", "notype": "", "bad": "text/plain; a\r\nX: y", "long": "text/" + strings.Repeat("a", 100),
	} {
		if f, err := c.open(name, mediaType); err == nil {
			f.Close()
			t.Errorf("%q of type %q is kept", name, mediaType)
		}
	}
	f, err := c.open("a", "text/plain")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.open("a", "text/plain"); err == nil || !strings.Contains(err.Error(), "has one of this name") {
		t.Errorf("the same name again: %v", err)
	}
	// An offset far behind stands for what was written before.
	f.(*artifactFile).Size = maxArtifact - 1
	k.bytes = maxArtifact - 1
	if _, err := f.Write(make([]byte, 2)); err == nil || !strings.Contains(err.Error(), "more than 64 MiB") || f.Close() == nil {
		t.Errorf("a file that is too long: %v", err)
	}
	if k.bytes != 0 {
		t.Errorf("%d bytes are still counted", k.bytes)
	}
	k.bytes = maxArtifacts
	f, err = c.open("b", "text/plain")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write([]byte{1}); err == nil || !strings.Contains(err.Error(), "more than 256 MiB") {
		t.Errorf("a run that keeps too much: %v", err)
	}
	k.bytes = 0
	if f, err = c.open("open", "text/plain"); err != nil {
		t.Fatal(err)
	}
	notes := c.end(true)
	for _, part := range []string{"artifact a: not kept", "artifact b: not kept", "artifact open: not kept, its case did not close it"} {
		if !strings.Contains(notes, part) {
			t.Errorf("the output has no %q:\n%s", part, notes)
		}
	}
	if _, err := f.Write([]byte{1}); err == nil {
		t.Error("a file can be written after the case")
	}
	if _, err := c.open("late", "text/plain"); err == nil {
		t.Error("a file can be begun after the case")
	}
	if got, err := k.Place(filepath.Dir(dir), "artifacts/r", "r"); err != nil || got != nil || tree(t, filepath.Dir(dir)) != nil {
		t.Errorf("%v, %v, files %q", got, err, tree(t, filepath.Dir(dir)))
	}
	for range maxFiles {
		k.another()
	}
	if _, err := k.begin("tcp/other").open("x", "text/plain"); err == nil {
		t.Error("there is no end of files")
	}
}

// TestDiskFull: what does not fit is not there, and the case is told.
func TestDiskFull(t *testing.T) {
	k := NewKeeper(t.TempDir(), false)
	c := k.begin("tcp/loss")
	f, err := c.open("a", "text/plain")
	if err != nil {
		t.Fatal(err)
	}
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skip(err)
	}
	w := f.(*artifactFile)
	w.f.Close()
	w.f = full
	if _, err := f.Write([]byte("hello")); err == nil || !strings.Contains(err.Error(), "no space left") {
		t.Errorf("error %v", err)
	}
	if notes := c.end(true); !strings.Contains(notes, "no space left") || tree(t, k.dir) != nil || k.bytes != 0 {
		t.Errorf("%q, files %q, %d bytes", notes, tree(t, k.dir), k.bytes)
	}
}

// TestARunsEndNamesItsArtifacts: they are in place before, and gone when another attempt
// has taken the run over.
func TestARunsEndNamesItsArtifacts(t *testing.T) {
	for _, lost := range []error{nil, ErrAbandoned} {
		journal := ends{err: lost}
		w := Worker{Store: &journal, Builder: &fakeRig{}, Places: Places{Root: t.TempDir()}, Notify: func(Event) {}, Log: slog.New(slog.DiscardHandler)}
		k := NewKeeper(w.Places.Scratch("r-artifacts"), false)
		c := k.begin("tcp/loss")
		f, err := c.open("wire.pcapng", "application/x-pcapng")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(f, "frames"); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil || c.end(true) != "" {
			t.Fatal(err)
		}
		if err := w.finishRun(t.Context(), Run{ID: "r", Status: suites.Failed}, &keptConsole{}, k, nil); !errors.Is(err, lost) {
			t.Fatal(err)
		}
		want := Artifact{Run: "r", Case: "tcp/loss", Name: "wire.pcapng", MediaType: "application/x-pcapng", Size: 6,
			SHA256: fmt.Sprintf("%x", sha256.Sum256([]byte("frames"))), Path: "artifacts/r/loss/wire.pcapng"}
		if diff := cmp.Diff([]Artifact{want}, journal.artifacts); diff != "" {
			t.Errorf("artifacts (-want +got):\n%s", diff)
		}
		if _, err := os.Stat(filepath.Join(w.Places.Root, want.Path)); (err == nil) != (lost == nil) {
			t.Errorf("after %v: %v", lost, err)
		}
	}
}
