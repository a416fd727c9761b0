package nic

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Binding is a NIC's IOMMU group in our hands. Its owner ends it with Restore.
type Binding struct {
	system  System
	journal *journal
	record  record
	Address string   // of the NIC
	Members []string // of the whole group
}

// Bind takes a NIC, with its whole IOMMU group, from the host and gives it to
// vfio-pci. The journal in dir gives it back if this process is killed: see
// Recover. The error of a device that is in use says how.
func (s System) Bind(ctx context.Context, dir, address string) (*Binding, error) {
	// What a killed process had may be what is wanted now.
	if _, err := s.Recover(ctx, dir); err != nil {
		return nil, err
	}
	candidates, err := s.Candidates()
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(candidates, func(c Candidate) bool { return c.Address == address })
	if i < 0 {
		return nil, fmt.Errorf("pass through %s: no such NIC; headwatch nics lists them", address)
	}
	c := candidates[i]
	if len(c.Obstacles) > 0 {
		return nil, fmt.Errorf("pass through %s: %s", address, strings.Join(c.Obstacles, "; "))
	}
	r := record{Version: journalVersion, Group: c.Group, PID: os.Getpid(), Taken: time.Now().UTC()}
	devices, err := s.Devices()
	if err != nil {
		return nil, err
	}
	for _, d := range devices {
		if slices.Contains(c.Members, d.Address) {
			r.Devices = append(r.Devices, former{d.Address, d.Vendor, d.Device, d.Driver, d.Override})
		}
	}
	j, err := newJournal(dir, r)
	if err != nil {
		return nil, fmt.Errorf("pass through %s: %w", address, err)
	}
	b := &Binding{s, j, r, address, c.Members}
	if err := b.take(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("pass through %s: %w", address, err), b.Restore(context.WithoutCancel(ctx)))
	}
	return b, nil
}

// take moves every device of the group to vfio-pci.
func (b *Binding) take(ctx context.Context) error {
	for _, d := range b.record.Devices {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := b.do(b.system.device(d.Address, "driver_override"), vfioDriver+"\n"); err != nil {
			return err
		}
		if d.Driver != "" {
			if err := b.do(b.system.device(d.Address, "driver", "unbind"), d.Address); err != nil {
				return err
			}
		}
		if err := b.do(b.system.driver(vfioDriver, "bind"), d.Address); err != nil {
			return err
		}
		if now := linkName(b.system.device(d.Address, "driver")); now != vfioDriver {
			return fmt.Errorf("%s has driver %q after it was bound to %s", d.Address, now, vfioDriver)
		}
	}
	return nil
}

// do takes a step: a word written to a file of sysfs.
func (b *Binding) do(path, data string) error {
	if err := b.journal.note("write %s to %s", strings.TrimSpace(data), path); err != nil {
		return err
	}
	return b.system.set(path, data)
}

func (s System) set(path, data string) error {
	if s.write != nil {
		return s.write(path, data)
	}
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(data) // in one write: sysfs takes each as a whole
	return errors.Join(err, f.Close())
}

// GroupFile is the file by which the group is opened.
func (b *Binding) GroupFile() string {
	return b.system.dev("vfio", strconv.Itoa(b.record.Group))
}

// Grant lets a user open the group. The file, and the grant with it, goes when the
// group is given back.
func (b *Binding) Grant(uid, gid int) error {
	if err := os.Chown(b.GroupFile(), uid, gid); err != nil {
		return fmt.Errorf("grant IOMMU group %d: %w", b.record.Group, err)
	}
	return nil
}

// Restore resets the devices and gives them back to the drivers that they had. ctx
// bounds the wait for whoever still has the group open. When it fails, the journal
// stays for Recover.
func (b *Binding) Restore(ctx context.Context) error {
	return b.system.giveBack(ctx, b.journal, b.record)
}
