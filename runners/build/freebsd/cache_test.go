package freebsd

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/headwatch/headwatch/runners"
)

// filled makes a cache folder as a successful build leaves it.
func filled(t *testing.T, dir, key string) {
	t.Helper()
	src := t.TempDir()
	put(t, src, map[string]string{"sys/a.c": "a"})
	f, err := openFolder(t.Context(), dir, key, t.Output())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.update(t.Context(), src, mustScan(t, src, ".")); err != nil {
		t.Fatal(err)
	}
	objects := filepath.Join(f.path("obj")+f.path("src"), "amd64.amd64")
	put(t, objects, map[string]string{"sys/K1/a.o": "1", "sys/K2/a.o": "2", "stand/x.o": "x", "tmp/tool": "t"})
	f.state.Tools, f.state.Loader = inputSet{}, inputSet{}
	f.state.Kernels = map[string]kernelState{"K1": {Inputs: "i", Used: time.Unix(1, 0)}, "K2": {Inputs: "i", Used: time.Unix(2, 0)}}
	if err := errors.Join(f.save(), f.close()); err != nil {
		t.Fatal(err)
	}
}

func editState(t *testing.T, dir string, edit func(*state)) {
	t.Helper()
	name := filepath.Join(dir, "state.json")
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	var s state
	if err := json.Unmarshal(text, &s); err != nil {
		t.Fatal(err)
	}
	edit(&s)
	if text, err = json.Marshal(s); err == nil {
		err = os.WriteFile(name, text, 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestFolderDetection(t *testing.T) {
	busy := func(step string) func(*testing.T, string) {
		return func(t *testing.T, dir string) { editState(t, dir, func(s *state) { s.Busy = step }) }
	}
	all := []string{"stand/x.o", "sys/K1/a.o", "sys/K2/a.o", "tmp/tool"}
	for _, tc := range []struct {
		name   string
		damage func(t *testing.T, dir string)
		key    string
		left   []string // objects that are still there
		log    string
	}{
		{"good", func(*testing.T, string) {}, "key", all, ""},
		{"other key", func(*testing.T, string) {}, "other", nil, "made for another tool chain"},
		{"other version", func(t *testing.T, dir string) { editState(t, dir, func(s *state) { s.Version++ }) }, "key", nil, "made by version 2"},
		{"interrupted in source", busy("source"), "key", nil, `interrupted in step "source"`},
		{"interrupted in tools", busy("tools"), "key", nil, `interrupted in step "tools"`},
		{"interrupted in loader", busy("loader"), "key", []string{"sys/K1/a.o", "sys/K2/a.o", "tmp/tool"}, "loader's build was interrupted"},
		{"interrupted in kernel", busy("K1"), "key", []string{"stand/x.o", "sys/K2/a.o", "tmp/tool"}, "build of K1 was interrupted"},
		{"clock went back", func(t *testing.T, dir string) {
			editState(t, dir, func(s *state) { s.Saved = time.Now().Add(time.Hour) })
		}, "key", nil, "the clock went back"},
		{"damaged state", func(t *testing.T, dir string) { put(t, dir, map[string]string{"state.json": "{"}) }, "key", nil, "damaged state"},
		{"damaged manifest", func(t *testing.T, dir string) { put(t, dir, map[string]string{"manifest.jsonl": "{}\n"}) }, "key", nil, "damaged manifest"},
		{"no manifest", func(t *testing.T, dir string) {
			if err := os.Remove(filepath.Join(dir, "manifest.jsonl")); err != nil {
				t.Fatal(err)
			}
		}, "key", nil, "manifest is missing"},
		{"moved", func(t *testing.T, dir string) {
			// What a folder holds that was filled elsewhere.
			if err := os.Rename(filepath.Join(dir, "obj", dir), filepath.Join(dir, "obj", "elsewhere")); err != nil {
				t.Fatal(err)
			}
		}, "key", nil, "copied or moved"},
		{"foreign", func(t *testing.T, dir string) {
			if err := os.Remove(filepath.Join(dir, "state.json")); err != nil {
				t.Fatal(err)
			}
		}, "key", nil, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "f")
			filled(t, dir, "key")
			tc.damage(t, dir)
			var log bytes.Buffer
			f, err := openFolder(t.Context(), dir, tc.key, &log)
			if err != nil {
				t.Fatal(err)
			}
			defer f.close()
			var left []string
			for name, text := range get(t, f.path("obj")) {
				if _, object, ok := strings.Cut(name, "/amd64.amd64/"); ok && text != "empty folder" {
					left = append(left, object)
				}
			}
			slices.Sort(left)
			if !slices.Equal(left, tc.left) {
				t.Errorf("objects left: %q, want %q", left, tc.left)
			}
			if (tc.left == nil) != (len(f.files) == 0) || f.state.Busy != "" {
				t.Errorf("%d files known, busy %q", len(f.files), f.state.Busy)
			}
			if !strings.Contains(log.String(), tc.log) {
				t.Errorf("log %q, want %q", log.String(), tc.log)
			}
			if _, known := f.state.Kernels["K1"]; known && !slices.Contains(tc.left, "sys/K1/a.o") {
				t.Error("K1 is known, its objects are gone")
			}
		})
	}
}

func TestStepMarks(t *testing.T) {
	open := func(t *testing.T, dir string) *folder {
		f, err := openFolder(t.Context(), dir, "key", t.Output())
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	saved := func(t *testing.T, dir string) (s state) {
		editState(t, dir, func(now *state) { s = *now })
		return s
	}
	dir := t.TempDir()
	f := open(t, dir)
	defer f.close()
	done := false
	err := f.step(t.Context(), "K", func() error {
		if saved(t, dir).Busy != "K" {
			t.Error("not marked while the step runs")
		}
		return nil
	}, func() { done = true })
	if err != nil || !done || saved(t, dir).Busy != "" {
		t.Errorf("success: %v, %t, %+v", err, done, saved(t, dir))
	}
	bad := &runners.BuildError{Reason: "a.c:1: error"}
	if err := f.step(t.Context(), "K", func() error { return bad }, func() { t.Error("done") }); !errors.Is(err, bad) || saved(t, dir).Busy != "" {
		t.Errorf("the tree's fault: %v, %+v", err, saved(t, dir))
	}
	rig := &runners.InfraError{Op: "x", Err: errors.New("disk full")}
	if err := f.step(t.Context(), "K", func() error { return rig }, func() { t.Error("done") }); !errors.Is(err, rig) || saved(t, dir).Busy != "K" {
		t.Errorf("the rig's fault: %v, %+v", err, saved(t, dir))
	}
	ctx, cancel := context.WithCancel(t.Context())
	err = f.step(ctx, "K", func() error { cancel(); return bad }, func() { t.Error("done") })
	if !errors.Is(err, context.Canceled) || saved(t, dir).Busy != "K" {
		t.Errorf("canceled: %v, %+v", err, saved(t, dir))
	}
}

func TestFolderLock(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "f")
	first, err := openFolder(t.Context(), dir, "key", t.Output())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	_, err = lockFolder(ctx, dir, cancel)
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("second owner: %v", err)
	}
	// A folder that is moved away while somebody waits for it is made anew.
	waiting, got := make(chan struct{}), make(chan error)
	go func() {
		second, err := lockFolder(t.Context(), dir, func() { close(waiting) })
		if err == nil {
			err = second.Close()
		}
		got <- err
	}()
	<-waiting
	first.clean = true
	if err := first.close(); err != nil {
		t.Fatal(err)
	}
	if err := <-got; err != nil || !exists(dir) {
		t.Errorf("after the first has gone: %v", err)
	}
}

// TestTrim: what nobody used for long goes, however few there are; not what is in
// use, and nothing when it is only asked.
func TestTrim(t *testing.T) {
	cache := t.TempDir()
	limit := time.Unix(1000, 0)
	for name, at := range map[string]time.Time{"old": time.Unix(999, 0), "busy": time.Unix(1, 0), "young": time.Unix(1001, 0)} {
		filled(t, filepath.Join(cache, name), "key")
		if err := os.Chtimes(filepath.Join(cache, name, "state.json"), at, at); err != nil {
			t.Fatal(err)
		}
	}
	put(t, cache, map[string]string{trashPrefix + "1/folder/x": "x"})
	busy, err := tryLock(filepath.Join(cache, "busy"), false)
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	b := New(Config{Cache: cache})
	want := []string{filepath.Join(cache, trashPrefix+"1"), filepath.Join(cache, "old")}
	asked, would, err := b.Trim(limit, true)
	if err != nil || !slices.Equal(asked, want) || would == 0 {
		t.Errorf("asked: %q of %d bytes, %v; want %q", asked, would, err, want)
	}
	gone, freed, err := b.Trim(limit, false)
	if err != nil || !slices.Equal(gone, want) || freed != would {
		t.Errorf("%q of %d bytes, %v; want %q of %d", gone, freed, err, want, would)
	}
	if gone, _, err := b.Trim(limit, false); err != nil || gone != nil {
		t.Errorf("again: %q, %v", gone, err)
	}
	if gone, _, err := New(Config{Cache: filepath.Join(cache, "none")}).Trim(limit, false); err != nil || gone != nil {
		t.Errorf("no cache: %q, %v", gone, err)
	}
}

func TestEvict(t *testing.T) {
	cache := t.TempDir()
	for i, name := range []string{"oldest", "middle", "newest", "locked"} {
		filled(t, filepath.Join(cache, name), "key")
		at := time.Unix(int64(1000+i), 0)
		if name == "locked" {
			at = time.Unix(1, 0)
		}
		if err := os.Chtimes(filepath.Join(cache, name, "state.json"), at, at); err != nil {
			t.Fatal(err)
		}
	}
	put(t, cache, map[string]string{trashPrefix + "1/folder/x": "x", cleanPrefix + "1/lock": "", "note": "not ours"})
	locked, err := tryLock(filepath.Join(cache, "locked"), false)
	if err != nil {
		t.Fatal(err)
	}
	defer locked.Close()
	mine, err := openFolder(t.Context(), filepath.Join(cache, "mine"), "key", t.Output())
	if err != nil {
		t.Fatal(err)
	}
	defer mine.close()
	if err := New(Config{Cache: cache, Keep: 2}).evict(mine); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(cache)
	if err != nil {
		t.Fatal(err)
	}
	var left []string
	for _, e := range entries {
		left = append(left, e.Name())
	}
	if want := []string{"locked", "mine", "newest", "note"}; !slices.Equal(left, want) {
		t.Errorf("left %q, want %q", left, want)
	}
}

func TestForgetKernels(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "f")
	filled(t, dir, "key")
	f, err := openFolder(t.Context(), dir, "key", t.Output())
	if err != nil {
		t.Fatal(err)
	}
	defer f.close()
	for i, name := range []string{"K3", "K4", "K5"} {
		if err := f.forgetKernels(name); err != nil {
			t.Fatal(err)
		}
		f.state.Kernels[name] = kernelState{Used: time.Unix(int64(10+i), 0)}
	}
	if _, known := f.state.Kernels["K1"]; known || len(f.state.Kernels) != keepKernels {
		t.Errorf("%v", f.state.Kernels)
	}
	objects := filepath.Join(f.path("obj")+f.path("src"), "amd64.amd64")
	if exists(filepath.Join(objects, "sys/K1")) || !exists(filepath.Join(objects, "sys/K2")) {
		t.Error("the objects of K1 should be gone, those of K2 not")
	}
}
