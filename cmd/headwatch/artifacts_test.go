package main

import (
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/headwatch/headwatch/orchestrator"
	"github.com/headwatch/headwatch/orchestrator/store"
	"github.com/headwatch/headwatch/suites"
)

// stateWithArtifact is a state directory with a failed run, of which a capture is kept.
func stateWithArtifact(t *testing.T) (dir string, a orchestrator.Artifact) {
	t.Helper()
	dir = t.TempDir()
	ctx := t.Context()
	db, err := store.Open(ctx, dbPath(dir))
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(err)
	hash, build := strings.Repeat("c", 40), strings.Repeat("b", 64)
	must(db.AddUpdate(ctx, "u", orchestrator.Update{New: []orchestrator.Commit{{Upstream: "u", Hash: hash, Position: 1, Time: time.Now()}}}))
	make := orchestrator.Job{ID: "build-b", Kind: orchestrator.BuildJob, Upstream: "u", Commit: hash, Target: "t", Build: build}
	j := make
	j.ID, j.Kind, j.Machine, j.Suite, j.Layer, j.Image = "run-b", orchestrator.RunJob, "m", "tcp", suites.Smoke, "sha256:i"
	must(db.SetInputs(ctx, "t", "salt", map[string]string{hash: build}))
	must(db.Apply(ctx, orchestrator.Decision{Upstream: "u", Target: "t", Jobs: []orchestrator.Job{make, j}}))
	must(db.FinishBuild(ctx, make, orchestrator.Build{ID: build, Target: "t", Commit: hash, Status: suites.Passed, Image: "sha256:i", Finished: time.Now()}))
	r, err := db.BeginRun(ctx, j, "h", time.Now())
	must(err)
	must(db.AddResult(ctx, r.ID, suites.Result{Case: "tcp/loss", Status: suites.Failed, Reason: "lost"}))
	content := []byte("a capture")
	a = orchestrator.Artifact{Run: r.ID, Case: "tcp/loss", Name: "wire.pcapng", MediaType: "application/x-pcapng", Size: int64(len(content)),
		SHA256: fmt.Sprintf("%x", sha256.Sum256(content)), Path: filepath.Join("artifacts", r.ID, "loss", "wire.pcapng")}
	must(os.MkdirAll(filepath.Dir(keptPath(dir, a.Path)), 0o755))
	must(os.WriteFile(keptPath(dir, a.Path), content, 0o644))
	r.Status, r.Finished = suites.Failed, time.Now()
	must(db.FinishRun(ctx, r, nil, a))
	must(db.Close())
	return dir, a
}

func TestFsckOfArtifacts(t *testing.T) {
	dir, a := stateWithArtifact(t)
	path := keptPath(dir, a.Path)
	check := func(what string, repair bool, want ...string) {
		t.Helper()
		found, err := fsckKept(t.Context(), dir, repair)
		if err != nil {
			t.Fatal(err)
		}
		for i, p := range found {
			if i >= len(want) || !strings.Contains(p.Check+": "+p.What, want[i]) {
				t.Errorf("%s: found %+v, want %q", what, p, want)
			}
		}
		if len(found) != len(want) {
			t.Errorf("%s: found %+v, want %q", what, found, want)
		}
	}
	check("as it was kept", false)
	for content, want := range map[string]string{"a Capture": "SHA-256 differs", "a": "9 bytes", "a capture and more": "9 bytes"} {
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
		check(content, false, "artifact: run "+a.Run+" names it: ")
		check(content, false, want)
	}
	// A process that was killed between moving the folder and storing the run's end.
	orphan := filepath.Join(dir, "artifacts", "feedfeedfeed")
	if err := os.Rename(filepath.Dir(filepath.Dir(path)), orphan); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(dir, "artifacts", handFiles), 0o755); err != nil {
		t.Fatal(err)
	}
	check("another's folder", true, "no such file", "left-over: "+orphan)
	if _, err := os.Stat(orphan); err == nil {
		t.Error("the left-over is still there")
	}
}

// TestGCOfArtifacts: they go when they are old and no regression refers to their run,
// and the database knows.
func TestGCOfArtifacts(t *testing.T) {
	dir, a := stateWithArtifact(t)
	folder := filepath.Join(dir, "artifacts", a.Run)
	var hand []string
	for range 2 {
		name, err := handFolder(dir, "t-tcp-0")
		if err != nil {
			t.Fatal(err)
		}
		hand = append(hand, filepath.Join(dir, name))
		if err := os.MkdirAll(hand[len(hand)-1], 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if hand[0] == hand[1] {
		t.Fatalf("two runs share %s", hand[0])
	}
	collect := func(older time.Duration, dry bool) gcDocument {
		t.Helper()
		g := garbage{dir: dir, before: time.Now().Add(-older), older: older, dry: dry}
		if err := g.collect(t.Context()); err != nil {
			t.Fatal(err)
		}
		return g.found
	}
	if d := collect(time.Hour, false); d.Artifacts != 0 {
		t.Errorf("nothing is that old: %+v", d)
	}
	if d := collect(-time.Hour, true); d.Artifacts != 3 || d.FreedBytes != a.Size {
		t.Errorf("a dry run: %+v", d)
	}
	if _, err := os.Stat(folder); err != nil {
		t.Error(err)
	}
	if d := collect(-time.Hour, false); d.Artifacts != 3 || !slices.Contains(d.Gone, folder) {
		t.Errorf("%+v", d)
	}
	if _, err := os.Stat(folder); err == nil {
		t.Error("it is still there")
	}
	if found, err := fsckKept(t.Context(), dir, false); err != nil || len(found) > 0 {
		t.Errorf("the database does not know: %+v, %v", found, err)
	}
}
