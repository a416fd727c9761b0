package freebsd

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// lockPoll is how often a taken lock is tried again; flock itself cannot be
// told to give up.
const lockPoll = 200 * time.Millisecond

// errLocked says that somebody else has a folder.
var errLocked = errors.New("in use by another build")

// lockFolder waits for the folder at dir, making it if there is none. The lock
// ends when the file and every copy of it is closed: a child that was given one
// keeps the folder, even when this process is killed.
func lockFolder(ctx context.Context, dir string, waiting func()) (*os.File, error) {
	lock, err := tryLock(dir, true)
	if !errors.Is(err, errLocked) {
		return lock, err
	}
	waiting()
	tick := time.NewTicker(lockPoll)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-tick.C:
		}
		if lock, err = tryLock(dir, true); !errors.Is(err, errLocked) {
			return lock, err
		}
	}
}

// tryLock takes the folder at dir or returns errLocked.
func tryLock(dir string, create bool) (*os.File, error) {
	flags := os.O_RDWR
	if create {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return nil, err
		}
		flags |= os.O_CREATE
	}
	name := filepath.Join(dir, "lock")
	f, err := os.OpenFile(name, flags, 0o644)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, errLocked
		}
		return nil, fmt.Errorf("lock %s: %w", name, err)
	}
	// The folder may have been moved away between opening and locking.
	mine, err := f.Stat()
	if err == nil {
		var there os.FileInfo
		if there, err = os.Stat(name); err == nil && os.SameFile(mine, there) {
			return f, nil
		}
	}
	f.Close()
	return nil, errLocked
}
