package nic

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// A journal is a file of lines, one JSON document each: first what an IOMMU group
// was like before, then each step before it is taken. Every line is on disk before
// the step. Whoever has the group holds the file locked, and the kernel drops the
// lock however that process ends: an unlocked journal is a left-over.

// journalSuffix ends the names of journals.
const journalSuffix = ".vfio"

// maxJournal bounds what is read of a journal, in bytes.
const maxJournal = 1 << 20

// former is what a device was like before it was taken.
type former struct {
	Address  string `json:"address"`
	Vendor   uint32 `json:"vendor"`
	Device   uint32 `json:"device"`
	Driver   string `json:"driver"`
	Override string `json:"override"`
}

// record is the first line of a journal.
type record struct {
	Version int       `json:"version"`
	Group   int       `json:"group"`
	PID     int       `json:"pid"`
	Taken   time.Time `json:"taken"`
	Devices []former  `json:"devices"`
}

const journalVersion = 1

// step is any other line.
type step struct {
	Step string `json:"step"`
}

// errTaken says that a living process has a group.
var errTaken = errors.New("a running headwatch has it")

// journal is a journal in our hands.
type journal struct {
	file *os.File
	path string
}

func journalPath(dir string, group int) string {
	return filepath.Join(dir, fmt.Sprintf("group-%d%s", group, journalSuffix))
}

// newJournal makes the journal of a group that nobody has.
func newJournal(dir string, r record) (*journal, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	path := journalPath(dir, r.Group)
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL|os.O_APPEND, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("%s: %w", path, errTaken)
	}
	if err != nil {
		return nil, err
	}
	j := &journal{f, path}
	if err = lock(f); err == nil {
		err = j.add(r)
	}
	if err == nil {
		err = syncFolder(dir)
	}
	if err != nil {
		return nil, errors.Join(err, j.end())
	}
	return j, nil
}

// openJournal takes over the journal of a process that is gone. The record of one
// that was killed before its first line was on disk has no devices.
func openJournal(path string) (*journal, record, []string, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_APPEND, 0)
	if err != nil {
		return nil, record{}, nil, err
	}
	if err := lock(f); err != nil {
		f.Close()
		return nil, record{}, nil, fmt.Errorf("%s: %w", path, err)
	}
	r, steps, err := readJournal(f)
	if err == nil {
		err = stillThere(f, path)
	}
	if err != nil {
		f.Close()
		return nil, record{}, nil, fmt.Errorf("%s: %w", path, err)
	}
	return &journal{f, path}, r, steps, nil
}

func lock(f *os.File) error {
	err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return errTaken
	}
	return err
}

// stillThere makes sure that nobody ended the journal before it was locked.
func stillThere(f *os.File, path string) error {
	a, err := f.Stat()
	if err != nil {
		return err
	}
	b, err := os.Stat(path)
	if err != nil {
		return err
	}
	if !os.SameFile(a, b) {
		return errTaken
	}
	return nil
}

// readJournal reads a journal. A last line that is not whole was never acted on.
func readJournal(f io.Reader) (r record, steps []string, err error) {
	data, err := io.ReadAll(io.LimitReader(f, maxJournal))
	if err != nil {
		return r, nil, err
	}
	lines := bytes.SplitAfter(data, []byte("\n"))
	for i, line := range lines {
		if !bytes.HasSuffix(line, []byte("\n")) {
			break
		}
		if i == 0 {
			if err := json.Unmarshal(line, &r); err != nil || r.Version != journalVersion {
				return r, nil, fmt.Errorf("not a journal of version %d; give the devices back by hand, then remove it", journalVersion)
			}
			continue
		}
		var s step
		if err := json.Unmarshal(line, &s); err != nil {
			return r, nil, fmt.Errorf("line %d: %w", i+1, err)
		}
		steps = append(steps, s.Step)
	}
	for _, d := range r.Devices {
		// What is written to sysfs by these names must stay below it.
		if !IsAddress(d.Address) || strings.ContainsAny(d.Driver, "/\n") || d.Driver == ".." {
			return record{}, nil, fmt.Errorf("device %q of driver %q: no such names", d.Address, d.Driver)
		}
	}
	return r, steps, nil
}

// note puts a step on disk before it is taken.
func (j *journal) note(format string, args ...any) error {
	return j.add(step{fmt.Sprintf(format, args...)})
}

func (j *journal) add(v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	if _, err := j.file.Write(append(b, '\n')); err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	if err := j.file.Sync(); err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	return nil
}

// end removes the journal: everything is given back.
func (j *journal) end() error {
	err := os.Remove(j.path)
	if err == nil {
		err = syncFolder(filepath.Dir(j.path))
	}
	return errors.Join(err, j.file.Close())
}

// leave lets go of the journal and keeps it, for the next start to try again.
func (j *journal) leave() error { return j.file.Close() }

func syncFolder(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// journals lists the journals in dir. A folder that is not there has none.
func journals(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var out []string
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), journalSuffix) {
			out = append(out, filepath.Join(dir, e.Name()))
		}
	}
	slices.Sort(out)
	return out, nil
}
