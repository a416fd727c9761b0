package artifacts

import (
	"context"
	"errors"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// lockPoll is how often a lock that somebody else holds is tried again. flock
// has no way to wait that a context can end.
const lockPoll = 20 * time.Millisecond

// lock is an exclusive flock on a file of its own. The kernel drops it when the
// process dies, however it dies. Two locks of one process exclude each other
// too, for each has its own open file.
type lock struct{ f *os.File }

// acquire waits for the lock at path and makes its file.
func acquire(ctx context.Context, path string) (*lock, error) {
	var wait *time.Ticker
	for {
		l, err := tryAcquire(path)
		if l != nil || err != nil {
			return l, err
		}
		if wait == nil {
			wait = time.NewTicker(lockPoll)
			defer wait.Stop()
		}
		select {
		case <-wait.C:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// tryAcquire returns nil when somebody else holds the lock.
func tryAcquire(path string) (*lock, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, err
	}
	got, err := flock(f, unix.LOCK_EX)
	// A holder removes the file before it lets go, so the file that was locked
	// may no longer be the one that others find.
	if err == nil && got && stillAt(f, path) {
		return &lock{f}, nil
	}
	return nil, errors.Join(err, f.Close())
}

// release lets go and leaves no file behind.
func (l *lock) release() error {
	return errors.Join(os.Remove(l.f.Name()), l.f.Close())
}

// flock reports whether it got the lock at once.
func flock(f *os.File, how int) (bool, error) {
	for {
		err := unix.Flock(int(f.Fd()), how|unix.LOCK_NB)
		switch {
		case err == nil:
			return true, nil
		case errors.Is(err, unix.EWOULDBLOCK):
			return false, nil
		case !errors.Is(err, unix.EINTR):
			return false, os.NewSyscallError("flock", err)
		}
	}
}

// stillAt reports whether path names the open file.
func stillAt(f *os.File, path string) bool {
	mine, err := f.Stat()
	if err != nil {
		return false
	}
	there, err := os.Lstat(path)
	return err == nil && os.SameFile(mine, there)
}
