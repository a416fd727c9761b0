package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/headwatch/headwatch/runners"
	"github.com/headwatch/headwatch/suites"
)

type buildOptions struct {
	sourceOptions
	target string
}

// flags adds the flags that say what is built.
func (o *sourceOptions) flags(f *pflag.FlagSet) {
	f.StringVar(&o.src, "src", "", "build from the source tree in `folder`, which is not changed")
	f.StringVar(&o.commit, "commit", "", "build from a `revision` of the upstream")
	f.StringVar(&o.upstream, "upstream", "", "`name` of the upstream, where the matrix leaves a choice")
	f.StringVar(&o.kernconf, "kernconf", "", "kernel configuration `file` instead of the target's")
	f.BoolVar(&o.clean, "clean", false, "use no objects of earlier builds")
}

func buildCommand(a *app) *cobra.Command {
	var o buildOptions
	cmd := &cobra.Command{
		Use:   "build --src DIR --target T",
		Short: "source tree to image",
		Long: `Makes a target's image from a source tree, or from a commit of its upstream, and
keeps it in the state directory. Objects are kept too: the next build costs what
has changed, and one of the same tree nothing. Its log is in logs/hand, where the
newest 20 stay. Exit 0 when there is an image, 1 when the source does not compile,
125 when the rig failed.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.build(cmd.Context(), o) },
	}
	f := cmd.Flags()
	f.StringVar(&o.target, "target", "freebsd-amd64", "`target` of the pipeline")
	o.sourceOptions.flags(f)
	return cmd
}

// buildDocument is what `build --json` prints.
type buildDocument struct {
	Status      string  `json:"status"`           // passed; failed: does not compile; broken: the rig failed
	Reason      string  `json:"reason,omitempty"` // when it did not pass
	Image       string  `json:"image"`
	Target      string  `json:"target"`
	Commit      string  `json:"commit,omitempty"`
	OS          string  `json:"os"`
	Arch        string  `json:"arch"`
	SizeBytes   int64   `json:"size_bytes"` // of all artifacts, uncompressed
	Cached      bool    `json:"cached"`     // nothing was compiled
	Incremental bool    `json:"incremental"`
	Log         string  `json:"log"`
	DurationS   float64 `json:"duration_s"`
}

func (a *app) build(ctx context.Context, o buildOptions) error {
	file, err := a.loadPipeline()
	if err != nil {
		return err
	}
	if err := o.check(file, o.target); err != nil {
		return err
	}
	dir, err := a.stateDir()
	if err != nil {
		return err
	}
	b, err := a.openBench(file, dir, "build")
	if err != nil {
		return rig(err)
	}
	defer b.close()
	began := time.Now()
	img, err := a.buildImage(ctx, b, o.target, o.sourceOptions)
	doc := buildDocument{
		Status: suites.Passed.String(), Image: img.ID, Target: o.target, Commit: img.commit, OS: img.OS, Arch: img.Arch, SizeBytes: img.Size,
		Cached: img.Cached, Incremental: img.Incremental, Log: img.log, DurationS: time.Since(began).Seconds(),
	}
	if e, ok := errors.AsType[*exitError](err); ok {
		if e.code == exitUsage {
			return err
		}
		doc.Status, doc.Reason = suites.Broken.String(), err.Error()
		if e.code == exitBad {
			doc.Status = suites.Failed.String()
		}
	}
	if a.json {
		return rig(errors.Join(err, a.document(doc)))
	}
	if err == nil {
		fmt.Fprintln(a.stdout, doc.Image)
	}
	return err
}

// built is an image that was made by hand.
type built struct {
	runners.Image
	commit string // empty: made from a folder, or of nothing of a commit
	log    string // path
}

// buildImage makes an image, with its steps on standard error and all that the
// tools say in a log that stays.
func (a *app) buildImage(ctx context.Context, b *workbench, target string, o sourceOptions) (img built, err error) {
	r, err := b.recipe(target, o)
	if err != nil {
		return img, rig(err)
	}
	t, commit, err := b.tree(ctx, target, r, o)
	if err != nil {
		return img, rig(err)
	}
	log, err := createHandLog(b.dir, target)
	if err != nil {
		return img, rig(err)
	}
	defer log.Close()
	img.commit, img.log = commit, log.Name()
	var out io.Writer = log
	if !a.json {
		out = io.MultiWriter(log, &steps{w: a.stderr, began: time.Now()})
	}
	if img.Image, err = b.builder.Build(ctx, r, t, out); err == nil {
		return img, nil
	}
	code := exitRig
	if _, source := errors.AsType[*runners.BuildError](err); source {
		code = exitBad
	}
	return img, &exitError{code, fmt.Errorf("%w (log: %s)", err, img.log)}
}

// steps shows the lines of a build's log that begin a step. make's own are marked
// ">>>"; long builds say little else that people can read.
type steps struct {
	w     io.Writer
	began time.Time
	line  strings.Builder
}

// maxStep bounds what is kept of a line.
const maxStep = 200

func (s *steps) Write(p []byte) (int, error) {
	for _, c := range p {
		if c != '\n' {
			if s.line.Len() < maxStep {
				s.line.WriteByte(c)
			}
			continue
		}
		if text, ok := strings.CutPrefix(s.line.String(), ">>> "); ok && !strings.Contains(text, "-----") {
			fmt.Fprintf(s.w, "%6.1fs %s\n", time.Since(s.began).Seconds(), text)
		}
		s.line.Reset()
	}
	return len(p), nil
}
