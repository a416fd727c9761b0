package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// owner is who has a state directory. It is written into the lock file, so that
// a second command can say who is in its way, and find the API.
type owner struct {
	PID     int    `json:"pid"`
	Command string `json:"command"`
	URL     string `json:"url,omitempty"` // of its dashboard and API
}

// stateLock is the ownership of a state directory. The kernel drops it when the
// process ends, however it ends.
type stateLock struct {
	file *os.File
	me   owner
}

// errOwned says that somebody else has the state directory.
type errOwned struct {
	dir string
	who owner
}

func (e *errOwned) Error() string {
	if e.who.PID == 0 {
		return fmt.Sprintf("state directory %s is in use; wait for its owner, or give another --state", e.dir)
	}
	at := ""
	if e.who.URL != "" {
		at = " at " + e.who.URL
	}
	return fmt.Sprintf("state directory %s is in use by headwatch %s (process %d%s); wait for it, or give another --state", e.dir, e.who.Command, e.who.PID, at)
}

// own takes a state directory, making it if there is none.
func own(dir, command string) (*stateLock, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("state directory: %w", err)
	}
	path := filepath.Join(dir, "lock")
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, fmt.Errorf("state directory: %w", err)
	}
	if err := lockExclusive(f); err != nil {
		defer f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, &errOwned{dir, readOwner(f)}
		}
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	l := &stateLock{file: f, me: owner{PID: os.Getpid(), Command: command}}
	return l, l.write()
}

// lockExclusive takes the lock or says that it is taken. findOwner holds it
// shared for an instant, so a first refusal is not believed.
func lockExclusive(f *os.File) (err error) {
	for range 10 {
		if err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); !errors.Is(err, syscall.EWOULDBLOCK) {
			return err
		}
		time.Sleep(10 * time.Millisecond)
	}
	return err
}

// findOwner tells who owns a state directory, or ok false when nobody does.
func findOwner(dir string) (who owner, ok bool) {
	f, err := os.Open(filepath.Join(dir, "lock"))
	if err != nil {
		return owner{}, false
	}
	defer f.Close()
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_SH|syscall.LOCK_NB); err == nil {
		return owner{}, false // closing the file drops it again
	}
	return readOwner(f), true
}

func readOwner(f *os.File) (who owner) {
	text, err := io.ReadAll(io.NewSectionReader(f, 0, 4096))
	if err != nil || json.Unmarshal(text, &who) != nil {
		return owner{}
	}
	return who
}

// announce publishes where the owner's API listens.
func (l *stateLock) announce(url string) error {
	l.me.URL = url
	return l.write()
}

func (l *stateLock) write() error {
	text, err := json.Marshal(l.me)
	if err != nil {
		return err
	}
	if err := l.file.Truncate(0); err != nil {
		return fmt.Errorf("lock file: %w", err)
	}
	if _, err := l.file.WriteAt(append(text, '\n'), 0); err != nil {
		return fmt.Errorf("lock file: %w", err)
	}
	return nil
}

// release gives the directory up. The file stays: removing it would let two
// processes lock two different files.
func (l *stateLock) release() {
	l.file.Truncate(0)
	l.file.Close()
}

// ownState takes ownership of the state directory that is there: for commands that
// make none.
func (a *app) ownState(command string) (dir string, lock *stateLock, err error) {
	if dir, err = a.stateDir(); err != nil {
		return "", nil, err
	}
	if !isState(dir) {
		return "", nil, usagef("no state directory at %s; give --state DIR", dir)
	}
	lock, err = own(dir, command)
	return dir, lock, rig(err)
}
