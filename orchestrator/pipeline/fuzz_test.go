package pipeline

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// FuzzParse feeds anything to Parse: it must answer with a sound file or with
// problems that have a place, and never panic.
func FuzzParse(f *testing.F) {
	seeds, err := filepath.Glob("testdata/*/*.yaml")
	if err != nil || len(seeds) == 0 {
		f.Fatalf("no seeds: %v", err)
	}
	for _, path := range append(seeds, shippedFile) {
		data, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	for _, s := range []string{"", "---", "? ", "- ? : ", "a: &a [*a]", "{<<: {}}", "%YAML 1.1\n---\n", "\xef\xbb\xbfa: b", "!!map {}", "a: |\n\n b", ": :", "#\r#"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		file, err := Parse("f.yaml", data, rig)
		if err == nil {
			checkFile(t, file, data)
			return
		}
		bad, ok := errors.AsType[*Error](err)
		if !ok || file != nil || len(bad.Problems) == 0 {
			t.Fatalf("file %v, error %#v", file, err)
		}
		lines := strings.Count(string(data), "\n") + strings.Count(string(data), "\r") + 1
		lines += strings.Count(string(data), "\u0085") + strings.Count(string(data), "\u2028") + strings.Count(string(data), "\u2029")
		for _, p := range bad.Problems {
			if p.Line < 1 || p.Line > lines || p.Column < 1 || p.Message == "" || strings.ContainsAny(p.Message, "\n\r\x1b\x00") {
				t.Fatalf("problem %+v of %d lines", p, lines)
			}
		}
	})
}

// checkFile checks what a valid file promises.
func checkFile(t *testing.T, f *File, data []byte) {
	cells := f.Cells()
	if len(cells) == 0 {
		t.Fatal("a valid file has no cell")
	}
	seen := map[place]bool{}
	for _, c := range cells {
		p := place{c.Upstream, c.Target, c.Machine}
		if seen[p] || f.Upstreams[p.upstream].Name == "" || f.Targets[p.target].Boot == "" || f.Machines[p.machine].SMP < 1 || len(c.Layers) == 0 {
			t.Fatalf("bad cell %+v", c)
		}
		seen[p] = true
	}
	again, err := Parse("g.yaml", data, rig)
	if err != nil || again.Digest() != f.Digest() {
		t.Fatalf("parsed twice: %v, another digest", err)
	}
}
