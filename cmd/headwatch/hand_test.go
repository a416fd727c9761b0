package main

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// TestHandFilesAreBounded: the oldest go, but for what is being written, and two
// commands never share a file.
func TestHandFilesAreBounded(t *testing.T) {
	state := t.TempDir()
	dir := filepath.Join(state, "logs", handFiles)
	busy, err := createHandLog(state, "linux")
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	began := time.Now().Add(-time.Hour)
	if err := os.Chtimes(busy.Name(), began, began); err != nil {
		t.Fatal(err)
	}
	for i := range handKept + 5 {
		name := filepath.Join(dir, fmt.Sprintf("%02d.log", i))
		at := began.Add(time.Duration(i+1) * time.Second)
		if err := os.WriteFile(name, nil, 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(name, at, at); err != nil {
			t.Fatal(err)
		}
	}
	next, err := createHandLog(state, "other")
	if err != nil {
		t.Fatal(err)
	}
	defer next.Close()
	left, err := agedFiles(dir)
	if err != nil {
		t.Fatal(err)
	}
	if want := handKept + 1; len(left) != want { // the one that is being written is one too many
		t.Errorf("%d files are left, want %d", len(left), want)
	}
	if left[0].path != next.Name() || left[len(left)-1].path != busy.Name() {
		t.Errorf("newest %s, oldest %s", left[0].path, left[len(left)-1].path)
	}
	if filepath.Base(left[len(left)-2].path) != "06.log" {
		t.Errorf("the oldest that nobody writes is %s, want 06.log", left[len(left)-2].path)
	}
}
