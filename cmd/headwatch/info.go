package main

import (
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"text/tabwriter"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"

	"github.com/headwatch/headwatch"
	"github.com/headwatch/headwatch/orchestrator/pipeline"
)

// version is set by the Makefile from git.
var version = ""

func versionCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "print the version", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			v, goVersion := version, ""
			if info, ok := debug.ReadBuildInfo(); ok {
				goVersion = info.GoVersion
				v = or(v, info.Main.Version)
			}
			if a.json {
				return a.document(map[string]string{"version": v, "go": goVersion})
			}
			fmt.Fprintf(a.stdout, "headwatch %s (%s)\n", v, goVersion)
			return nil
		},
	}
}

func suitesCommand(a *app) *cobra.Command {
	type row struct {
		Suite    string   `json:"suite"`
		Case     string   `json:"case"`
		Layer    string   `json:"layer"`
		OSes     []string `json:"oses"`
		Requires []string `json:"requires"`
		Summary  string   `json:"summary"`
	}
	return &cobra.Command{
		Use: "suites", Short: "list the suites and their cases", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			rows := []row{}
			for _, s := range allSuites() {
				for _, c := range s.Cases {
					oses := c.OSes
					if len(oses) == 0 {
						oses = []string{"freebsd", "linux"}
					}
					rows = append(rows, row{s.Name, c.Name, c.Layer.String(), oses, append([]string{}, c.Requires...), c.Summary})
				}
			}
			if a.json {
				return a.document(rows)
			}
			w := tabwriter.NewWriter(a.stdout, 0, 8, 2, ' ', 0)
			for _, r := range rows {
				fmt.Fprintf(w, "%s/%s\t%s\t%s\n", r.Suite, r.Case, r.Layer, r.Summary)
			}
			return w.Flush()
		},
	}
}

func pipelinesCommand(a *app) *cobra.Command {
	root := &cobra.Command{Use: "pipelines", Short: "look at pipelines files", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() }}
	root.AddCommand(
		&cobra.Command{
			Use: "check [FILE]", Short: "report all that is wrong with a pipelines file", Args: cobra.MaximumNArgs(1),
			RunE: func(_ *cobra.Command, args []string) error { return a.checkPipelines(args) },
		},
		&cobra.Command{
			Use: "show", Short: "print the built-in pipelines file, to start one's own from", Args: cobra.NoArgs,
			RunE: func(*cobra.Command, []string) error {
				if a.json {
					return a.document(map[string]string{"file": "(built-in)", "text": string(headwatch.Pipelines)})
				}
				_, err := a.stdout.Write(headwatch.Pipelines)
				return err
			},
		},
	)
	return root
}

func (a *app) checkPipelines(args []string) error {
	if len(args) == 1 {
		a.pipelines = args[0]
	}
	f, err := a.loadPipeline()
	if a.json {
		return a.documentOfCheck(f, err)
	}
	if err != nil {
		return err
	}
	fmt.Fprintf(a.stdout, "%s: %d upstreams, %d targets, %d machines, %d cells\n", f.Path, len(f.Upstreams), len(f.Targets), len(f.Machines), len(f.Cells()))
	return nil
}

func manCommand() *cobra.Command {
	return &cobra.Command{
		Use: "man [DIR]", Short: "print the manual page, or write all of them to a folder", Args: cobra.MaximumNArgs(1),
		Example: `  headwatch man | man -l -
  headwatch man /usr/local/share/man/man1`,
		RunE: func(cmd *cobra.Command, args []string) error {
			root := cmd.Root()
			root.DisableAutoGenTag = true
			head := &doc.GenManHeader{Title: "HEADWATCH", Section: "1", Source: "headwatch"}
			if len(args) == 0 {
				return rig(doc.GenMan(root, head, cmd.OutOrStdout()))
			}
			if err := os.MkdirAll(args[0], 0o755); err != nil {
				return rig(err)
			}
			return rig(doc.GenManTree(root, head, args[0]))
		},
	}
}

// checkDocument is what `pipelines check --json` prints.
type checkDocument struct {
	File     string         `json:"file"`
	Valid    bool           `json:"valid"`
	Problems []checkProblem `json:"problems"`
}

type checkProblem struct {
	File    string `json:"file"`
	Line    int    `json:"line"`
	Column  int    `json:"column"`
	Message string `json:"message"`
}

func (a *app) documentOfCheck(f *pipeline.File, err error) error {
	d := checkDocument{File: a.pipelines, Problems: []checkProblem{}}
	if err == nil {
		d.File, d.Valid = f.Path, true
		return a.document(d)
	}
	e, ok := errors.AsType[*pipeline.Error](err)
	if !ok { // the file could not be read at all
		e = &pipeline.Error{Problems: []pipeline.Problem{{File: a.pipelines, Message: err.Error()}}}
	}
	for _, p := range e.Problems {
		d.Problems = append(d.Problems, checkProblem{p.File, p.Line, p.Column, p.Message})
	}
	if err := a.document(d); err != nil {
		return rig(err)
	}
	return &exitError{code: exitUsage}
}

// isProblems says whether an error lists what is wrong with a pipelines file.
func isProblems(err error) bool {
	_, ok := errors.AsType[*pipeline.Error](err)
	return ok
}
