package console

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Recorded and made-up boots: where each phase began, in which the boot ended, and what
// it is called if it stays there.
func TestPhasesOfBoots(t *testing.T) {
	logs, err := filepath.Glob("testdata/boots/*.log")
	if err != nil || len(logs) == 0 {
		t.Fatalf("no boots: %v", err)
	}
	for _, path := range logs {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		var got strings.Builder
		var p Phases
		before := p.Last()
		for line := range bytes.Lines(text) {
			p.Write(line)
			if now := p.Last(); now != before {
				fmt.Fprintf(&got, "%s | %s\n", now.Where(), clean(string(bytes.TrimSpace(line))))
				before = now
			}
		}
		fmt.Fprintf(&got, "%s\n", before.Title())
		golden := strings.TrimSuffix(path, ".log") + ".golden"
		if *update {
			if err := os.WriteFile(golden, []byte(got.String()), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(string(want), got.String()); d != "" {
			t.Errorf("%s: %s", path, d)
		}
		// However it is cut, it ends in the same phase.
		var bytewise Phases
		for i := range text {
			bytewise.Write(text[i : i+1])
		}
		if bytewise.Last() != before {
			t.Errorf("%s: byte by byte it ends %s", path, bytewise.Last().Where())
		}
	}
}

// Each phase has a title and a place of its own: they are what failed boots are told
// apart by.
func TestPhasesAreToldApart(t *testing.T) {
	said := make(map[string]Phase)
	for p := NoOutput; p <= Debugger; p++ {
		for _, words := range []string{p.Title(), p.Where()} {
			if other, used := said[words]; used || strings.Contains(words, "invalid") {
				t.Errorf("phase %d: %q, as phase %d", p, words, other)
			}
			said[words] = p
		}
	}
}
