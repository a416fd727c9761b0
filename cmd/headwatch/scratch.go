package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// scratch is a folder for one command's work in flight, below a state directory
// that another process may own. Its lock says that its maker lives.
type scratch struct {
	dir  string
	lock *os.File
}

// scratchPath is where commands put their work that own no jobs.
func scratchPath(dir string) string { return filepath.Join(dir, "scratch") }

// claimScratch makes a folder, and removes those whose makers are gone.
func claimScratch(state, command string) (*scratch, error) {
	base := scratchPath(state)
	if err := os.MkdirAll(base, 0o755); err != nil {
		return nil, fmt.Errorf("scratch folder: %w", err)
	}
	// Sweeping and making exclude each other: a folder is never seen unlocked.
	gate, err := os.OpenFile(filepath.Join(base, ".gate"), os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, fmt.Errorf("scratch folder: %w", err)
	}
	defer gate.Close()
	if err := syscall.Flock(int(gate.Fd()), syscall.LOCK_EX); err != nil {
		return nil, fmt.Errorf("scratch folder: %w", err)
	}
	if _, err := sweepScratch(state, true); err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(base, command+"-")
	if err != nil {
		return nil, fmt.Errorf("scratch folder: %w", err)
	}
	lock, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR|os.O_CREATE, 0o644)
	if err == nil {
		err = syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("scratch folder: %w", err), os.RemoveAll(dir))
	}
	return &scratch{dir, lock}, nil
}

// release removes the folder with all that is in it.
func (s *scratch) release() error {
	err := os.RemoveAll(s.dir)
	return errors.Join(err, s.lock.Close())
}

// sweepScratch lists the folders whose makers are gone, and removes them if asked.
func sweepScratch(state string, remove bool) ([]string, error) {
	entries, err := os.ReadDir(scratchPath(state))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("scratch folder: %w", err)
	}
	var dead []string
	for _, e := range entries {
		dir := filepath.Join(scratchPath(state), e.Name())
		if !e.IsDir() || alive(dir) {
			continue
		}
		dead = append(dead, dir)
		if remove {
			if err := os.RemoveAll(dir); err != nil {
				return dead, fmt.Errorf("scratch folder: %w", err)
			}
		}
	}
	return dead, nil
}

// alive tells whether somebody holds a scratch folder's lock.
func alive(dir string) bool { return held(filepath.Join(dir, "lock")) }
