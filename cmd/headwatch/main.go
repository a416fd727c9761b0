// Command headwatch watches an operating system's development branch: it builds
// each commit, boots it, runs suites on it and names the commit that broke what
// worked. This package parses and wires; everything else lives in the packages
// below orchestrator, runners, suites and web.
//
// Exit codes fit `git bisect run`: 0 good, 1 bad, 125 could not be tested, 128
// wrong usage or bad input.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/headwatch/headwatch/suites"
)

// The documented exit codes.
const (
	exitGood  = 0
	exitBad   = 1
	exitRig   = 125
	exitUsage = 128
)

// exitError is an error that knows its exit code. err may be nil when all has
// been said already.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string {
	if e.err == nil {
		return ""
	}
	return e.err.Error()
}

func (e *exitError) Unwrap() error { return e.err }

// usagef is an error of wrong usage or bad input.
func usagef(format string, args ...any) error {
	return &exitError{exitUsage, fmt.Errorf(format, args...)}
}

// bad says that the answer is "bad", which has been printed.
var errBad = &exitError{code: exitBad}

// rig marks an error as the rig's unless it has a code already.
func rig(err error) error {
	if err == nil {
		return nil
	}
	if _, ok := errors.AsType[*exitError](err); ok {
		return err
	}
	return &exitError{exitRig, err}
}

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

func run(args []string, stdout, stderr io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	a := &app{stdout: stdout, stderr: stderr}
	root := newRoot(a)
	root.SetArgs(args)
	cmd, err := root.ExecuteContextC(ctx)
	if err == nil {
		return exitGood
	}
	e, ok := errors.AsType[*exitError](err)
	if !ok { // what cobra itself refuses: unknown commands and flags
		e = &exitError{exitUsage, fmt.Errorf("%w; see: %s --help", err, cmd.CommandPath())}
		err = e
	}
	code := e.code
	if a.json && !a.told && code == exitRig {
		// Who reads the document should not find an empty one.
		err = errors.Join(err, a.document(rigDocument{suites.Broken.String(), err.Error()}))
	}
	switch text := err.Error(); {
	case text == "":
	case isProblems(err):
		fmt.Fprintln(stderr, text) // file:line:column first, as compilers have it
	default:
		fmt.Fprintf(stderr, "headwatch: %s\n", text)
	}
	return code
}

// rigDocument is what every command prints with --json when the rig failed before
// the command had anything to tell.
type rigDocument struct {
	Status string `json:"status"` // broken
	Reason string `json:"reason"`
}

// newRoot assembles the command tree. What the commands share is in app.
func newRoot(a *app) *cobra.Command {
	root := &cobra.Command{
		Use:   "headwatch",
		Short: "watch a kernel's development branch for regressions",
		Long: `headwatch follows an operating system's development branch: it builds commits,
boots them in QEMU, runs suites on them, and names the commit that broke what
worked. Begin with "headwatch demo", or with "headwatch doctor" when that fails.

Exit codes fit "git bisect run": 0 good, 1 bad (a failed case, a new regression),
125 could not be tested (the rig failed), 128 wrong usage or bad input.`,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cmd.SetOut(a.stdout)
			return cmd.Help()
		},
	}
	root.SetOut(a.stdout)
	root.SetErr(a.stderr)
	f := root.PersistentFlags()
	f.StringVar(&a.state, "state", "", "state `directory` (default: the user's state directory)")
	f.StringVar(&a.pipelines, "pipelines", "", "pipelines `file` (default: ./pipelines.yaml, the state's copy, the built-in one)")
	f.BoolVar(&a.json, "json", false, "print one JSON document on standard output")
	f.BoolVarP(&a.verbose, "verbose", "v", false, "log more")
	root.AddCommand(
		demoCommand(a), nightlyCommand(a), serveCommand(a), buildCommand(a), runCommand(a), reproduceCommand(a), vmCommand(a),
		bisectCommand(a), detectCommand(a), knownCommand(a), reportCommand(a), suitesCommand(a), nicsCommand(a), doctorCommand(a), fsckCommand(a), gcCommand(a), benchCommand(a), pipelinesCommand(a),
		manCommand(), versionCommand(a),
	)
	return root
}
