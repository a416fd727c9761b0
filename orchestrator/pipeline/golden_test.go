package pipeline

import (
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/headwatch/headwatch/suites"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// rig is what a program with four suites knows.
var rig = Known{
	Suites: map[string][]suites.Layer{
		"smoke": {suites.Smoke},
		"basic": {suites.Smoke, suites.Stress},
		"races": {suites.Stress},
		"pages": {suites.Stress, suites.Soak},
	},
	Requires: map[string]map[suites.Layer][]string{
		"races": {suites.Smoke: {"smp>=2"}, suites.Functional: {"smp>=2"}, suites.Stress: {"smp>=2"}, suites.Soak: {"smp>=2"}},
		"pages": {suites.Smoke: {"kvm", "moonlight"}, suites.Functional: {"kvm", "moonlight"}, suites.Stress: {"kvm", "moonlight"}, suites.Soak: {"kvm", "moonlight"}},
	},
	NICModels: []string{"e1000", "e1000e", "igb", "rtl8139", "virtio-net", "vmxnet3"},
	NICLinks:  []string{"user", "wire"},
}

// TestBad reads files with mistakes and compares all that is reported.
func TestBad(t *testing.T) {
	files, err := filepath.Glob("testdata/bad/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no files: %v", err)
	}
	for _, path := range files {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".yaml"), func(t *testing.T) {
			f, err := Load(path, rig)
			bad, ok := errors.AsType[*Error](err)
			if f != nil || !ok {
				t.Fatalf("got file %v, error %v: want an *Error only", f, err)
			}
			for i, p := range bad.Problems {
				if p.File != path || p.Line < 1 || p.Column < 1 || p.Message == "" || strings.ContainsAny(p.Message, "\n\x1b") {
					t.Errorf("bad problem %+v", p)
				}
				if i > 0 && bad.Problems[i-1].Line > p.Line {
					t.Errorf("line %d after line %d", p.Line, bad.Problems[i-1].Line)
				}
			}
			golden(t, strings.TrimSuffix(path, ".yaml")+".golden", strings.ReplaceAll(bad.Error(), path, filepath.Base(path))+"\n")
		})
	}
}

// TestGood compares everything that a file with every key means.
func TestGood(t *testing.T) {
	f, err := Load("testdata/good/full.yaml", rig)
	if err != nil {
		t.Fatal(err)
	}
	got, err := json.MarshalIndent(f, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "testdata/good/full.golden", string(got)+"\n")
}

func golden(t *testing.T, path, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", path, diff)
	}
}
