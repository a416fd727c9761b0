package main

import (
	"encoding/json"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/headwatch/headwatch/runners/build/layout"
	"github.com/headwatch/headwatch/suites/kernel"
)

// The builder writes kernel layouts and the suites read them, in types of their
// own: both must mean the same document.
func TestLayoutsOfBuilderAndSuitesAgree(t *testing.T) {
	golden, err := os.ReadFile("../../runners/build/layout/testdata/sample.json")
	if err != nil {
		t.Fatal(err)
	}
	var written map[string]layout.Struct
	if err := json.Unmarshal(golden, &written); err != nil {
		t.Fatal(err)
	}
	read, err := kernel.ParseLayouts(golden)
	if err != nil {
		t.Fatal(err)
	}
	a, err := json.Marshal(written)
	if err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(read)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(a), string(b)); diff != "" || len(read) == 0 {
		t.Error(diff)
	}
}
