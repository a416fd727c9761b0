package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"
)

// What commands by hand leave for a look lies outside of the database: the logs of
// their builds in logs/hand, the consoles of runs that went wrong in consoles/hand, and
// what their cases kept in artifacts/hand, a folder for each run.

// handFiles is the folder of such files, below logs and consoles.
const handFiles = "hand"

// handKept is how many files each of these folders keeps.
const handKept = 20

// handPath is a place for a new file, which no other command writes to. It makes
// room there.
func handPath(state, folder, name, ext string) (string, error) {
	dir := filepath.Join(state, folder, handFiles)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	old, err := agedFiles(dir)
	if err != nil {
		return "", err
	}
	for _, f := range old[min(len(old), handKept-1):] {
		if _, err := f.remove(); err != nil {
			return "", err
		}
	}
	return filepath.Join(dir, handName(name)+ext), nil
}

// handName makes a name one's own.
func handName(name string) string {
	return fmt.Sprintf("%s-%s-%d", name, time.Now().UTC().Format("20060102T150405"), os.Getpid())
}

// handFolder is a place, below the state directory, for a new folder of artifacts, which
// no other command writes to. It makes room there.
func handFolder(state, name string) (string, error) {
	dir := filepath.Join("artifacts", handFiles)
	old, err := agedFolders(filepath.Join(state, dir))
	if err != nil {
		return "", err
	}
	for _, f := range old[min(len(old), handKept-1):] {
		if err := os.RemoveAll(f.path); err != nil {
			return "", err
		}
	}
	path := filepath.Join(dir, handName(name))
	for i := 1; ; i++ { // runs may be shorter than a second
		free := path
		if i > 1 {
			free = fmt.Sprintf("%s-%d", path, i)
		}
		if _, err := os.Lstat(filepath.Join(state, free)); errors.Is(err, fs.ErrNotExist) {
			return free, nil
		} else if err != nil {
			return "", err
		}
	}
}

// agedFolders lists the folders of a folder, the newest first, with the bytes of what is
// in them; none when there is no folder.
func agedFolders(dir string) (out []agedFile, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	for _, e := range entries {
		st, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) || err == nil && !st.IsDir() {
			continue // gone since the folder was read, or not of our making
		}
		if err != nil {
			return nil, err
		}
		f := agedFile{path: filepath.Join(dir, e.Name()), used: st.ModTime()}
		err = filepath.WalkDir(f.path, func(_ string, d fs.DirEntry, err error) error {
			if st, ierr := d.Info(); err == nil && ierr == nil && !d.IsDir() {
				f.size += st.Size()
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
		out = append(out, f)
	}
	slices.SortStableFunc(out, func(a, b agedFile) int { return b.used.Compare(a.used) })
	return out, nil
}

// createHandLog makes the log of a build by hand. Until it is closed nobody removes
// it.
func createHandLog(state, target string) (*os.File, error) {
	path, err := handPath(state, "logs", target, ".log")
	if err != nil {
		return nil, fmt.Errorf("build log: %w", err)
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return nil, fmt.Errorf("build log: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_SH); err != nil {
		return nil, errors.Join(fmt.Errorf("build log: %w", err), f.Close())
	}
	return f, nil
}

// agedFile is a file that may go when it is old.
type agedFile struct {
	path string
	size int64 // bytes
	used time.Time
}

// agedFiles lists the regular files of a folder, the newest first; none when there is
// no folder.
func agedFiles(dir string) ([]agedFile, error) {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var out []agedFile
	for _, e := range entries {
		st, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) {
			continue // gone since the folder was read
		}
		if err != nil {
			return nil, err
		}
		if st.Mode().IsRegular() {
			out = append(out, agedFile{filepath.Join(dir, e.Name()), st.Size(), st.ModTime()})
		}
	}
	slices.SortStableFunc(out, func(a, b agedFile) int { return b.used.Compare(a.used) })
	return out, nil
}

// remove takes the file away unless somebody writes it.
func (f agedFile) remove() (gone bool, err error) {
	if held(f.path) {
		return false, nil
	}
	if err := os.Remove(f.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, err
	}
	return true, nil
}

// held tells whether somebody has a file locked.
func held(path string) bool {
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	return errors.Is(syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB), syscall.EWOULDBLOCK)
}
