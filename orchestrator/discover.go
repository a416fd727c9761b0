package orchestrator

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/headwatch/headwatch/orchestrator/pipeline"
	"github.com/headwatch/headwatch/runners"
)

// Recipe is a target as a builder reads it.
func Recipe(t pipeline.Target) runners.Recipe {
	return runners.Recipe{
		OS: t.OS, Arch: t.Arch, Source: t.Source, Kernel: t.Kernel, Base: t.Base, Config: t.Config,
		Fragments: t.Fragments, World: t.World, TestImage: t.TestImage, Overlay: t.Overlay, Cmdline: t.Cmdline, Modules: t.Modules,
	}
}

// Spec is a machine as a runner reads it, without what differs from boot to boot.
func Spec(m pipeline.Machine) runners.Spec {
	s := runners.Spec{SMP: m.SMP, Memory: m.Memory, Accel: m.Accel, Control: m.Control, Clock: m.Clock, Lines: m.Lines}
	for _, n := range m.NICs {
		s.NICs = append(s.NICs, runners.NIC(n))
	}
	return s
}

// Discovery finds new commits and what they would build.
type Discovery struct {
	Store   Commits
	Builder runners.Builder
	Log     *slog.Logger
}

// resolveBatch bounds how many commits' inputs are computed at once.
const resolveBatch = 500

// Discover fetches an upstream, stores its new commits and computes the inputs
// of each commit for each target, so that equal commits share a build before
// anything is built.
func (d Discovery) Discover(ctx context.Context, upstream string, src Source, targets []pipeline.Target) (Update, error) {
	known, err := d.Store.Head(ctx, upstream)
	if err != nil {
		return Update{}, err
	}
	u, err := src.Fetch(ctx, known)
	if err != nil {
		return Update{}, fmt.Errorf("fetch upstream %s: %w", upstream, err)
	}
	if u.Note != "" {
		d.Log.Warn(u.Note, "upstream", upstream)
	}
	if err := d.Store.AddUpdate(ctx, upstream, u); err != nil {
		return Update{}, err
	}
	// A target that this host cannot build does not keep the others waiting.
	var errs []error
	for _, t := range targets {
		if err := d.resolve(ctx, upstream, src, t); err != nil {
			errs = append(errs, fmt.Errorf("inputs of %s: %w", t.Name, err))
		}
	}
	return u, errors.Join(errs...)
}

// resolve computes the build inputs of every commit of which they are not known:
// of new ones, and of all when what the builder takes from elsewhere has changed.
func (d Discovery) resolve(ctx context.Context, upstream string, src Source, t pipeline.Target) error {
	paths, salt, err := d.Builder.Inputs(ctx, Recipe(t))
	if err != nil {
		return err
	}
	for {
		commits, err := d.Store.Unresolved(ctx, upstream, t.Name, salt, resolveBatch)
		if err != nil || len(commits) == 0 {
			return err
		}
		inputs, err := buildIDs(ctx, src, t, salt, paths, commits)
		if err != nil {
			return err
		}
		if err := d.Store.SetInputs(ctx, t.Name, salt, inputs); err != nil {
			return err
		}
	}
}

// buildIDs computes the build that each commit is for a target.
func buildIDs(ctx context.Context, src Source, t pipeline.Target, salt string, paths, commits []string) (map[string]string, error) {
	out := make(map[string]string, len(commits))
	if t.Source == "artifacts" { // what was published for a commit is the commit's alone
		for _, c := range commits {
			out[c] = BuildID(t.Name, salt, []string{"commit"}, map[string]string{"commit": c})
		}
		return out, nil
	}
	trees, err := src.TreeIDs(ctx, commits, paths)
	if err != nil {
		return nil, err
	}
	for _, c := range commits {
		out[c] = BuildID(t.Name, salt, paths, trees[c])
	}
	return out, nil
}
