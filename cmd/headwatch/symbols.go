package main

import (
	"github.com/headwatch/headwatch/orchestrator"
	"github.com/headwatch/headwatch/runners"
	"github.com/headwatch/headwatch/runners/symbol"
)

// symbols puts a debug file's frames into the orchestrator's type.
type symbols struct{ *symbol.Table }

var _ orchestrator.Symbols = symbols{}

func openSymbols(debug string) (orchestrator.Symbols, error) {
	t, err := symbol.Open(debug)
	if err != nil {
		return nil, err
	}
	return symbols{t}, nil
}

// Symbolize adds lines to a crash.
func (s symbols) Symbolize(c runners.Crash) (runners.Crash, []orchestrator.Frame) {
	c, found := symbol.Symbolize(c, s.Table)
	frames := make([]orchestrator.Frame, len(found))
	for i, f := range found {
		frames[i] = orchestrator.Frame(f)
	}
	return c, frames
}
