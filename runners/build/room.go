package build

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// room makes a folder below the cache for one build's files, and removes those
// whose makers are gone: a folder is locked as long as its maker lives. done
// removes it.
func room(cache string) (dir string, done func() error, err error) {
	base := filepath.Join(cache, "out")
	if err := os.MkdirAll(base, 0o755); err != nil {
		return "", nil, err
	}
	// Sweeping and making exclude each other: a folder is never seen unlocked.
	gate, err := locked(base, syscall.LOCK_EX)
	if err != nil {
		return "", nil, err
	}
	defer gate.Close()
	left, err := os.ReadDir(base)
	if err != nil {
		return "", nil, err
	}
	for _, e := range left {
		old := filepath.Join(base, e.Name())
		f, err := locked(old, syscall.LOCK_EX|syscall.LOCK_NB)
		if errors.Is(err, syscall.EWOULDBLOCK) {
			continue // somebody builds there
		}
		if err != nil {
			return "", nil, err
		}
		if err := errors.Join(os.RemoveAll(old), f.Close()); err != nil {
			return "", nil, err
		}
	}
	if dir, err = os.MkdirTemp(base, "build-"); err != nil {
		return "", nil, err
	}
	lock, err := locked(dir, syscall.LOCK_EX|syscall.LOCK_NB)
	if err != nil {
		return "", nil, errors.Join(err, os.RemoveAll(dir))
	}
	return dir, func() error { return errors.Join(os.RemoveAll(dir), lock.Close()) }, nil
}

// locked opens a folder and locks it until the file is closed.
func locked(dir string, how int) (*os.File, error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), how); err != nil {
		return nil, errors.Join(fmt.Errorf("lock %s: %w", dir, err), f.Close())
	}
	return f, nil
}
