package main

import (
	"os"
	"path/filepath"

	"github.com/headwatch/headwatch/orchestrator/pipeline"
	"github.com/headwatch/headwatch/suites"
	"github.com/headwatch/headwatch/suites/console"
	"github.com/headwatch/headwatch/suites/kyua"
	"github.com/headwatch/headwatch/suites/smoke"
	"github.com/headwatch/headwatch/suites/superpage"
	"github.com/headwatch/headwatch/suites/tcp"
)

// allSuites is every suite that this binary knows, as nobody has configured it.
func allSuites() []suites.Suite { return suitesWith(kyua.Options{}) }

func suitesWith(k kyua.Options) []suites.Suite {
	return []suites.Suite{smoke.Suite(), tcp.Suite(), console.Suite(), superpage.Suite(), kyua.Suite(k)}
}

// suitesOf are the suites as a pipelines file wants them.
func suitesOf(file *pipeline.File) ([]suites.Suite, error) {
	k := kyua.Options{Filters: file.Kyua.Tests, Variables: file.Kyua.Variables, Timeout: file.Kyua.Timeout}
	if file.Kyua.Expected != "" {
		path := file.Kyua.Expected
		if !filepath.IsAbs(path) {
			path = filepath.Join(filepath.Dir(file.Path), path)
		}
		f, err := os.Open(path)
		if err != nil {
			return nil, usagef("%s: kyua: expected_failures: %w", file.Path, err)
		}
		defer f.Close()
		if k.Expected, err = kyua.ParseList(path, f); err != nil {
			return nil, &exitError{exitUsage, err}
		}
	}
	return suitesWith(k), nil
}
