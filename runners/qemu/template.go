package qemu

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/headwatch/headwatch/runners"
	nics "github.com/headwatch/headwatch/runners/nic"
)

// template is what machines are started from. It implements runners.Template.
type template struct {
	r    *Runner
	b    runners.Bootable
	spec runners.Spec
	o    Options // of the cold boot

	reserve *reserve // of spares; nil: each start makes its own machine

	mu     sync.Mutex
	held   *shelved // nil: each start boots, or closed
	closed bool
	facts  runners.Facts
}

var _ runners.Template = (*template)(nil)

// Template takes a frozen machine that was made from the same image, spec and
// QEMU, or boots one and freezes it. A machine that cannot be frozen makes a
// template that boots each time.
func (r *Runner) Template(ctx context.Context, b runners.Bootable, s runners.Spec) (runners.Template, error) {
	o, err := r.options(ctx, &b, s)
	if err != nil {
		return nil, fmt.Errorf("template: %w", err)
	}
	t := &template{r: r, b: b, spec: s, o: o, facts: runners.Facts{Accel: o.Accel, Command: Quote(o.Cmdline()), MACs: o.macs()}}
	if why := unclonable(o); why != "" {
		r.logger.Debug("each start boots", "why", why)
		return t, nil
	}
	t.o.RAM = ramName
	if len(o.Disks) > 0 {
		t.o.Overlay = overlayName
	}
	key, err := r.key(ctx, b, t.o, s.Ordinal)
	if err != nil {
		return nil, fmt.Errorf("template: %w", err)
	}
	t.held, err = r.take(ctx, key, func(f *frozen) { s.ConsoleLog.Write([]byte(f.meta.Console)) }, func() (*frozen, error) {
		return r.makeTemplate(ctx, b, t.o, s)
	})
	if errors.Is(err, errNotFrozen) {
		r.logger.Warn("each start boots", "why", err)
		t.o.RAM, t.o.Overlay = "", ""
		return t, nil
	}
	if err != nil {
		return nil, err
	}
	t.facts = t.held.frozen.meta.Facts
	if r.noSpare || !parks(o.Accel) {
		return t, nil
	}
	f := t.held.frozen
	t.reserve = newReserve(r, func(ctx context.Context, quiet bool, asked <-chan struct{}) (*spare, error) {
		return t.spare(ctx, f, quiet, asked)
	}, s.Memory)
	return t, nil
}

// parks says whether a guest that was stopped for minutes goes on as if it had not
// been. Under emulation all its clocks stand still, but the one that keeps the host's
// time. Under KVM the counter of the CPU goes on, and it is not translation that
// makes a clone slow.
func parks(accel string) bool { return accel == "tcg" }

// AwaitSpare returns when no spare is on its way; true: the next start has one. It is
// for who measures.
func (t *template) AwaitSpare(ctx context.Context) (bool, error) {
	if t.reserve == nil {
		return false, nil
	}
	return t.reserve.await(ctx)
}

// unclonable says why a machine can only be booted; empty: it may be cloned.
func unclonable(o Options) string {
	if !freezes {
		return "this system cannot hand memory to QEMU"
	}
	if len(o.Disks) > 1 {
		return "only the first of its disks could be written to"
	}
	for i, n := range o.NICs {
		if n.Link != nics.Wire && n.Link != nics.User {
			return fmt.Sprintf("nic %d: a device behind %s has state of its own", i, n.Link)
		}
	}
	if len(o.Extra) > 0 {
		return "further arguments may hold on to what only one machine can have"
	}
	return ""
}

// Facts are those of the cold boot.
func (t *template) Facts() runners.Facts {
	t.mu.Lock()
	defer t.mu.Unlock()
	f := t.facts
	f.MACs = slices.Clone(f.MACs)
	return f
}

// Start starts a clone, or boots where there can be none.
func (t *template) Start(ctx context.Context, s runners.Start) (runners.Machine, error) {
	t.mu.Lock()
	held := t.held
	if t.closed {
		t.mu.Unlock()
		return nil, errors.New("start: template is closed")
	}
	if held != nil {
		t.r.hold(held)
	}
	t.mu.Unlock()
	if held == nil {
		spec := t.spec
		spec.Dir, spec.ConsoleLog = s.Dir, s.ConsoleLog
		return t.r.Boot(ctx, t.b, spec)
	}
	defer t.r.drop(held)
	m, err := t.clone(ctx, held.frozen, s)
	if err != nil {
		return nil, err
	}
	return m, nil
}

// Close lets go of the template, and ends its spare. Machines that were started from
// it go on.
func (t *template) Close() error {
	if t.reserve != nil {
		t.reserve.close() // before the memory goes that it is made of
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	held := t.held
	t.held, t.closed = nil, true
	if held == nil {
		return nil
	}
	return t.r.drop(held)
}

// Names by which people know the files of a frozen machine.
const (
	ramName     = "memory"
	overlayName = "overlay"
)

// templateFormat is part of each key: it rises when what is frozen changes.
const templateFormat = 2

// key names a template by everything that went into it. Where an image was laid
// out does not matter, what is in it does.
func (r *Runner) key(ctx context.Context, b runners.Bootable, o Options, ordinal int) (string, error) {
	version, firmware, err := r.examine(ctx, firmwares)
	if err != nil {
		return "", err
	}
	for _, path := range []*string{&o.Kernel, &o.Initrd} {
		if *path != "" {
			*path = "image"
		}
	}
	o.Disks = slices.Repeat([]string{"image"}, len(o.Disks))
	text, err := json.Marshal(struct {
		Format   int
		Image    string
		QEMU     string
		Firmware string
		Command  []string
		Ordinal  int
	}{templateFormat, b.Image.ID, version, firmware, o.Cmdline(), ordinal})
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:]), nil
}
