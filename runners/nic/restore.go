package nic

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// Leftover is an IOMMU group that a killed process had.
type Leftover struct {
	Path    string    `json:"path"` // of its journal
	Group   int       `json:"group"`
	Devices []string  `json:"devices"` // addresses
	Taken   time.Time `json:"taken"`
	Step    string    `json:"step"` // the last one that was begun
}

func (l Leftover) String() string {
	if len(l.Devices) == 0 {
		return l.Path + ": no device was taken yet"
	}
	s := fmt.Sprintf("%s: IOMMU group %d (%s), taken %s", l.Path, l.Group, strings.Join(l.Devices, ", "), l.Taken.Format(time.RFC3339))
	if l.Step != "" {
		s += ", at: " + l.Step
	}
	return s
}

// Leftovers lists what killed processes did not give back, and changes nothing.
// What a living process has is no left-over.
func Leftovers(dir string) ([]Leftover, error) {
	var out []Leftover
	err := eachLeftover(dir, func(j *journal, r record, l Leftover) error {
		out = append(out, l)
		return j.leave()
	})
	return out, err
}

// Recover gives back what killed processes did not, and lists it. It does nothing
// twice: what is as it was stays so. An error names the journal that stays.
func (s System) Recover(ctx context.Context, dir string) ([]Leftover, error) {
	var out []Leftover
	err := eachLeftover(dir, func(j *journal, r record, l Leftover) error {
		if err := s.giveBack(ctx, j, r); err != nil {
			return fmt.Errorf("give back what %s lists: %w", l.Path, err)
		}
		out = append(out, l)
		return nil
	})
	return out, err
}

// eachLeftover calls each with every journal whose process is gone. One that fails
// does not keep the others from their turn.
func eachLeftover(dir string, each func(*journal, record, Leftover) error) error {
	paths, err := journals(dir)
	if err != nil {
		return err
	}
	var errs []error
	for _, path := range paths {
		j, r, steps, err := openJournal(path)
		if errors.Is(err, errTaken) || errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			errs = append(errs, err)
			continue
		}
		l := Leftover{Path: path, Group: r.Group, Taken: r.Taken, Devices: []string{}}
		for _, d := range r.Devices {
			l.Devices = append(l.Devices, d.Address)
		}
		if len(steps) > 0 {
			l.Step = steps[len(steps)-1]
		}
		errs = append(errs, each(j, r, l))
	}
	return errors.Join(errs...)
}

// giveBack makes the devices what they were, from whatever they are now, and ends
// the journal.
func (s System) giveBack(ctx context.Context, j *journal, r record) error {
	if len(r.Devices) == 0 {
		return j.end() // killed before the first line was on disk, so before the first step
	}
	if err := s.awaitRelease(ctx, r.Group); err != nil {
		return errors.Join(err, j.leave())
	}
	var errs []error
	for _, d := range r.Devices {
		if err := s.giveDevice(j, d); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", d.Address, err))
		}
	}
	if len(errs) > 0 {
		return errors.Join(append(errs, j.leave())...)
	}
	return j.end()
}

// giveDevice gives one device back. A device that is another one by now, after a
// change of hardware, is let be.
func (s System) giveDevice(j *journal, was former) error {
	now, err := s.readDevice(was.Address, nil)
	if errors.Is(err, os.ErrNotExist) {
		return nil // taken out of the machine
	}
	if err != nil {
		return err
	}
	if now.Vendor != was.Vendor || now.Device != was.Device {
		return nil
	}
	b := Binding{system: s, journal: j}
	if now.Driver == vfioDriver && was.Driver != vfioDriver {
		if now.Reset {
			// Whatever a guest made of it ends here. A device that refuses is reset by
			// its driver, or by vfio-pci when the group was closed.
			if err := j.note("reset %s", was.Address); err != nil {
				return err
			}
			_ = s.set(s.device(was.Address, "reset"), "1")
		}
		if err := b.do(s.device(was.Address, "driver", "unbind"), was.Address); err != nil {
			return err
		}
	}
	if now.Override != was.Override {
		// A new line alone takes the override away.
		if err := b.do(s.device(was.Address, "driver_override"), was.Override+"\n"); err != nil {
			return err
		}
	}
	if linkName(s.device(was.Address, "driver")) == was.Driver || was.Driver == "" {
		return nil
	}
	return b.rebind(was)
}

// rebind binds a device to the driver that it had. A driver that was unloaded
// meanwhile comes by its module, as at boot.
func (b *Binding) rebind(was former) error {
	path := b.system.driver(was.Driver, "bind")
	if _, err := os.Stat(path); err != nil {
		path = b.system.sys("bus", "pci", "drivers_probe")
	}
	if err := b.do(path, was.Address); err != nil {
		return err
	}
	if now := linkName(b.system.device(was.Address, "driver")); now != was.Driver {
		return fmt.Errorf("has driver %q, and had %s: modprobe %s, then headwatch fsck --repair", now, was.Driver, was.Driver)
	}
	return nil
}

// releasePoll is how often an open group is looked at: nothing tells when the last
// user closes it.
const releasePoll = 20 * time.Millisecond

// releaseGrace bounds that wait where ctx does not. A QEMU that was killed takes
// some time to let go of its guest's memory.
const releaseGrace = 10 * time.Second

// awaitRelease waits until no process has the group open. To take a device from
// vfio-pci before would hang in the kernel, where nothing can end it.
func (s System) awaitRelease(ctx context.Context, group int) error {
	ctx, cancel := context.WithTimeout(ctx, releaseGrace)
	defer cancel()
	tick := time.NewTicker(releasePoll)
	defer tick.Stop()
	for {
		who := s.user(group)
		if who == "" {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("IOMMU group %d is held open by %s: end it, then headwatch fsck --repair", group, who)
		}
	}
}

// user names a process that has a group open; empty: none that can be seen.
func (s System) user(group int) string {
	file := s.dev("vfio", strconv.Itoa(group))
	fds, _ := filepath.Glob(s.proc("[0-9]*", "fd", "*")) // the pattern is sound
	for _, fd := range fds {
		if to, err := os.Readlink(fd); err == nil && to == file {
			pid := filepath.Base(filepath.Dir(filepath.Dir(fd)))
			name, _ := readWord(s.proc(pid, "comm"))
			return strings.TrimSpace(fmt.Sprintf("process %s %s", pid, name))
		}
	}
	return ""
}
