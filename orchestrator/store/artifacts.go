package store

import (
	"context"
	"database/sql"

	"github.com/headwatch/headwatch/orchestrator"
)

const (
	artifactColumns = `a.run, a.case_name, a.name, a.media_type, a.size, a.sha256, a.path`
	artifactsQuery  = `SELECT ` + artifactColumns + ` FROM artifacts a WHERE a.run = ? ORDER BY a.case_name, a.name LIMIT ?`
	// Everything that fsck looks for on disk.
	allArtifactsQuery = `SELECT ` + artifactColumns + ` FROM artifacts a ORDER BY a.path`
	// oldArtifacts are those of runs that ended before a moment and that no regression
	// refers to. Those of runs that failed go too: they are large, a case that is bad
	// keeps them again with every commit, and what the run said stays.
	oldArtifacts = ` WHERE run IN (SELECT r.id FROM runs r WHERE r.finished < ?
		AND NOT EXISTS (SELECT 1 FROM regressions g WHERE g.run = r.id))`
)

func scanArtifact(r row) (a orchestrator.Artifact, err error) {
	return a, r.Scan(&a.Run, &a.Case, &a.Name, &a.MediaType, &a.Size, &a.SHA256, &a.Path)
}

// RunArtifacts lists the files that the cases of a run kept.
func (db *DB) RunArtifacts(ctx context.Context, run string) (out []orchestrator.Artifact, err error) {
	err = db.read(ctx, "artifacts of run "+run, func(tx *sql.Tx) error {
		out, err = list(ctx, tx, scanArtifact, artifactsQuery, run, maxRows)
		return err
	})
	return out, err
}

// addArtifacts stores the artifacts of a run.
func addArtifacts(ctx context.Context, tx *sql.Tx, run string, artifacts []orchestrator.Artifact) error {
	for _, a := range artifacts[:min(len(artifacts), maxRows)] {
		if _, err := tx.ExecContext(ctx, `INSERT INTO artifacts (run, case_name, name, media_type, size, sha256, path) VALUES (?, ?, ?, ?, ?, ?, ?)`,
			run, a.Case, a.Name, bounded(a.MediaType, maxLine), a.Size, a.SHA256, a.Path); err != nil {
			return err
		}
	}
	return nil
}
