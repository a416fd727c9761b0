package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"

	"github.com/headwatch/headwatch"
	"github.com/headwatch/headwatch/orchestrator/pipeline"
	"github.com/headwatch/headwatch/runners/qemu"
	"github.com/headwatch/headwatch/suites"
)

// app is what every command shares: the global flags and the standard streams.
type app struct {
	stdout, stderr io.Writer
	state          string
	pipelines      string
	json           bool
	verbose        bool
	told           bool // the document has been printed
}

// stateDir is the state directory: the flag's, or the user's
// ($XDG_STATE_HOME/headwatch, see the XDG Base Directory Specification).
func (a *app) stateDir() (string, error) {
	dir := a.state
	if dir == "" {
		base := os.Getenv("XDG_STATE_HOME")
		if base == "" {
			home, err := os.UserHomeDir()
			if err != nil {
				return "", usagef("no home directory: give --state DIR")
			}
			base = filepath.Join(home, ".local", "state")
		}
		dir = filepath.Join(base, "headwatch")
	}
	abs, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	if st, err := os.Stat(abs); err == nil && !st.IsDir() {
		return "", usagef("state directory %s is a file; give another --state DIR", abs)
	}
	return abs, nil
}

// flags are what a command needs to find a state directory and the pipelines file
// that this one uses: empty for the default ones, else " --state DIR".
func (a *app) flags(dir string) string {
	out := ""
	if usual, err := (&app{}).stateDir(); err != nil || usual != dir {
		out += " " + qemu.Quote([]string{"--state", dir})
	}
	return out + a.pipelinesFlag()
}

// pipelinesFlag is the part of flags that names the pipelines file.
func (a *app) pipelinesFlag() string {
	abs, err := filepath.Abs(a.pipelines)
	if a.pipelines == "" || err != nil {
		return ""
	}
	return " " + qemu.Quote([]string{"--pipelines", abs})
}

// loadPipeline reads the pipelines file: the flag's, ./pipelines.yaml, the copy
// in the state directory, or the one built in.
func (a *app) loadPipeline() (*pipeline.File, error) {
	candidates := []string{a.pipelines}
	if a.pipelines == "" {
		dir, err := a.stateDir()
		if err != nil {
			return nil, err
		}
		candidates = []string{"pipelines.yaml", filepath.Join(dir, "pipelines.yaml")}
	}
	for _, path := range candidates {
		f, err := pipeline.Load(path, knownNames())
		if errors.Is(err, fs.ErrNotExist) && a.pipelines == "" {
			continue
		}
		if err != nil {
			return nil, &exitError{exitUsage, err}
		}
		_, err = suitesOf(f)
		return f, err
	}
	return builtinPipeline()
}

func builtinPipeline() (*pipeline.File, error) {
	return pipeline.Default(headwatch.Pipelines, knownNames())
}

// knownNames is what a pipelines file may refer to.
func knownNames() pipeline.Known {
	k := pipeline.Known{
		Suites: map[string][]suites.Layer{}, Requires: map[string]map[suites.Layer][]string{},
		NICModels: []string{"virtio-net", "e1000", "e1000e", "igb", "vmxnet3", "rtl8139"},
		NICLinks:  []string{"wire", "user", "tap", "vfio"},
		CheckNIC:  checkNIC,
	}
	for _, s := range allSuites() {
		need := map[suites.Layer][]string{}
		for _, c := range s.Cases {
			all, seen := need[c.Layer]
			if !seen {
				k.Suites[s.Name] = append(k.Suites[s.Name], c.Layer)
				all = slices.Clone(c.Requires)
			}
			need[c.Layer] = slices.DeleteFunc(all, func(word string) bool { return !slices.Contains(c.Requires, word) })
		}
		k.Requires[s.Name] = need
	}
	return k
}

// logger writes what happens to standard error, warnings only unless asked.
func (a *app) logger(level slog.Level) *slog.Logger {
	if a.verbose {
		level = slog.LevelDebug
	}
	return slog.New(slog.NewTextHandler(a.stderr, &slog.HandlerOptions{Level: level}))
}

// document prints the one JSON document of a command.
func (a *app) document(v any) error {
	a.told = true
	enc := json.NewEncoder(a.stdout)
	enc.SetIndent("", "  ")
	if err := enc.Encode(v); err != nil {
		return fmt.Errorf("write the document: %w", err)
	}
	return nil
}
