package runnertest

import (
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

// scene is what a machine must not add to.
type scene struct {
	goroutines goleak.Option
	children   map[int]bool
}

func observe(t *testing.T) scene {
	t.Helper()
	return scene{goleak.IgnoreCurrent(), children(t)}
}

func (s scene) compare(t *testing.T, dir string) {
	t.Helper()
	if err := goleak.Find(s.goroutines, goleak.IgnoreTopFunction("testing.(*T).Run")); err != nil {
		t.Error(err)
	}
	for pid := range children(t) {
		if !s.children[pid] {
			t.Errorf("process %d is left", pid)
		}
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.Type()&fs.ModeSocket != 0 {
			t.Errorf("socket %s is left", e.Name())
		}
	}
}

// children lists the processes that this one started and has not waited for.
func children(t *testing.T) map[int]bool {
	t.Helper()
	lists, err := filepath.Glob("/proc/self/task/*/children")
	if err != nil {
		t.Fatal(err)
	}
	found := make(map[int]bool)
	for _, l := range lists {
		b, err := os.ReadFile(l)
		if err != nil {
			continue // the thread has ended
		}
		for _, word := range strings.Fields(string(b)) {
			if pid, err := strconv.Atoi(word); err == nil {
				found[pid] = true
			}
		}
	}
	return found
}
