package store

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/headwatch/headwatch/orchestrator"
	"github.com/headwatch/headwatch/suites"
)

// keptBy is an artifact of a run.
func keptBy(r orchestrator.Run, name string) orchestrator.Artifact {
	return orchestrator.Artifact{Run: r.ID, Case: "smoke/a", Name: name, MediaType: "image/svg+xml", Size: 1234,
		SHA256: strings.Repeat("ab", 32), Path: "artifacts/" + r.ID + "/a/" + name}
}

// kept plans a run of commit 1 with artifacts and carries it out.
func kept(t *testing.T, db *DB, repeat int, s suites.Status, names ...string) (orchestrator.Run, []orchestrator.Artifact) {
	t.Helper()
	plan(t, db, runJob(1, repeat))
	r := ended(begin(t, db, runJob(1, repeat)), s)
	add(t, db, r.ID, "smoke/a", s)
	var all []orchestrator.Artifact
	for _, name := range names {
		all = append(all, keptBy(r, name))
	}
	ok(t, db.FinishRun(t.Context(), r, nil, all...))
	return r, all
}

func TestArtifactsOfCases(t *testing.T) {
	db := opened(t)
	line(t, db, 2)
	built(t, db, 1, suites.Passed)
	built(t, db, 2, suites.Failed)
	failed, want := kept(t, db, 0, suites.Failed, "a.svg", "wire.pcapng")
	evidence, theirs := kept(t, db, 1, suites.Failed, "a.svg")
	g := suspicion(1, 2)
	g.Run = evidence.ID
	ok(t, db.Apply(t.Context(), orchestrator.Decision{Upstream: upstream, Target: target, Rig: testRig.Digest, Regressions: []orchestrator.Regression{g}}))

	got, err := db.RunArtifacts(t.Context(), failed.ID)
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%v, artifacts (-want +got):\n%s", err, diff)
	}
	ok(t, db.FinishRun(t.Context(), failed, nil, theirs...)) // the same end again changes nothing
	all, err := db.Artifacts(t.Context())
	if err != nil || len(all.Kept) != 3 {
		t.Errorf("%+v, %v", all.Kept, err)
	}
	if old, err := db.OldFiles(t.Context(), epoch); err != nil || old != nil {
		t.Errorf("nothing is that old: %q, %v", old, err)
	}
	// Not evidence, and old: they go though the run failed; its console stays.
	later := epoch.Add(24 * time.Hour)
	if old, err := db.OldFiles(t.Context(), later); err != nil || !cmp.Equal(old, []string{want[0].Path, want[1].Path, "logs/1.log"}) {
		t.Errorf("old files %q, %v", old, err)
	}
	ok(t, db.ForgetFiles(t.Context(), later))
	if left, err := db.Artifacts(t.Context()); err != nil || !cmp.Equal(left.Kept, theirs) || len(left.Consoles) != 2 {
		t.Errorf("left %+v, %v", left, err)
	}
	if found, err := db.Check(t.Context()); err != nil || len(found) > 0 {
		t.Errorf("not sound any more: %v, %v", found, err)
	}
}

// A run that another attempt has taken over leaves none, and hostile names do not get in.
func TestArtifactsAreOfFinishedRuns(t *testing.T) {
	db := opened(t)
	line(t, db, 1)
	built(t, db, 1, suites.Passed)
	plan(t, db, runJob(1, 0))
	first := begin(t, db, runJob(1, 0))
	second := begin(t, db, runJob(1, 0))
	if err := db.FinishRun(t.Context(), ended(first, suites.Broken), nil, keptBy(first, "a")); err == nil {
		t.Error("an abandoned run ends")
	}
	if err := db.FinishRun(t.Context(), ended(second, suites.Broken), nil, keptBy(second, "../a")); err == nil {
		t.Error("a name leads out of the folder")
	}
	if all, err := db.Artifacts(t.Context()); err != nil || len(all.Kept) != 0 {
		t.Errorf("%+v, %v", all.Kept, err)
	}
}
