package qemu

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/headwatch/headwatch/runners"
	"github.com/headwatch/headwatch/runners/guest/renewal"
	nics "github.com/headwatch/headwatch/runners/nic"
)

const (
	// settleTime bounds what happens between the agent's answer and the freeze.
	settleTime = 90 * time.Second
	// greetTime is how long a frame may take that the guest says it has sent.
	greetTime = 5 * time.Second
	// consoleKept is how much of a cold boot's console goes with its template.
	consoleKept = 256 << 10
)

// errNotFrozen says that a machine booted and cannot be cloned.
var errNotFrozen = errors.New("machine cannot be cloned")

// frozen is a machine that stands still: memory, disk and devices in memory files
// that nobody can write to.
type frozen struct {
	substance
	meta meta
}

// meta is what is known of a frozen machine.
type meta struct {
	Facts   runners.Facts     `json:"facts"`
	Console string            `json:"console"` // what the cold boot said, its end
	Speaks  []bool            `json:"speaks"`  // which NICs sent their frame
	Memory  int64             `json:"memory"`  // bytes
	Digests map[string]string `json:"digests"` // by file; see digest
}

func (f *frozen) close() {
	for _, file := range f.files() {
		file.Close()
	}
}

// files are the parts of a frozen machine, by name.
func (f *frozen) files() map[string]*os.File {
	files := map[string]*os.File{ramName: f.ram, stateName: f.state}
	if f.overlay != nil {
		files[overlayName] = f.overlay
	}
	return files
}

const stateName = "state"

// makeTemplate boots a machine and freezes it as soon as its agent has answered.
func (r *Runner) makeTemplate(ctx context.Context, b runners.Bootable, o Options, s runners.Spec) (_ *frozen, err error) {
	f := &frozen{meta: meta{Memory: int64(o.Memory) << 20}}
	defer func() {
		if err != nil {
			f.closeSome()
		}
	}()
	if err := f.prepare(o); err != nil {
		return nil, &runners.InfraError{Op: "make template", Err: err}
	}
	m, err := r.coldBoot(ctx, b.Image.OS, o, f.substance, s)
	if err != nil {
		return nil, err
	}
	defer m.Close() // how it ends is our doing
	if f.meta.Speaks, err = r.settle(ctx, m, o); err != nil {
		return nil, fmt.Errorf("%w: %w", errNotFrozen, err)
	}
	freezing, cancel := context.WithTimeout(ctx, settleTime)
	defer cancel()
	if err := m.vm.monitor.saveState(freezing, f.state); err != nil {
		return nil, fmt.Errorf("%w: %w", errNotFrozen, err)
	}
	m.vm.ear.catchUp()
	f.meta.Facts, f.meta.Console = m.facts, s.ConsoleLog.Tail(consoleKept)
	if exit, err := m.Close(); exit != runners.ExitKilled {
		return nil, fmt.Errorf("%w: it ended while it was frozen: %v, %w", errNotFrozen, exit, err)
	}
	for _, file := range f.files() {
		if err := seal(file); err != nil {
			return nil, &runners.InfraError{Op: "make template", Err: err}
		}
	}
	return f, nil
}

// prepare makes the files that a machine is going to fill.
func (f *frozen) prepare(o Options) (err error) {
	if f.ram, err = memoryFile(ramName); err != nil {
		return err
	}
	if err := f.ram.Truncate(f.meta.Memory); err != nil {
		return err
	}
	if f.state, err = memoryFile(stateName); err != nil {
		return err
	}
	if len(o.Disks) == 0 {
		return nil
	}
	st, err := os.Stat(o.Disks[0])
	if err != nil {
		return err
	}
	if f.overlay, err = memoryFile(overlayName); err != nil {
		return err
	}
	return writeOverlay(f.overlay, st.Size())
}

// closeSome closes what there is of a machine that was not frozen.
func (f *frozen) closeSome() {
	for _, file := range []*os.File{f.ram, f.state, f.overlay} {
		if file != nil {
			file.Close()
		}
	}
}

// settle has the guest get ready, and says which of its NICs work. One that does
// not is no reason to have no clones: its cases will say so.
func (r *Runner) settle(ctx context.Context, m *machine, o Options) ([]bool, error) {
	ctx, cancel := context.WithTimeout(ctx, settleTime)
	defer cancel()
	args := renewal.Settle{NICs: []renewal.NIC{}, Token: token()}
	for i, n := range o.NICs {
		args.NICs = append(args.NICs, renewal.NIC{MAC: o.nic(i).mac(), Announce: n.Link == nics.Wire})
	}
	var answer renewal.Settled
	if err := m.Call(ctx, renewal.OpSettle, args, &answer); err != nil {
		return nil, err
	}
	if len(answer.Problems) != len(args.NICs) {
		return nil, fmt.Errorf("%s: %d answers for %d NICs", renewal.OpSettle, len(answer.Problems), len(args.NICs))
	}
	greeting, cancel := context.WithTimeout(ctx, greetTime)
	defer cancel()
	for i, problem := range answer.Problems {
		if problem != "" {
			args.NICs[i].Announce = false
			r.logger.Warn("a NIC does not work", "nic", i, "model", o.NICs[i].Model, "problem", clip(problem))
		}
	}
	speaks := make([]bool, len(o.NICs))
	frames, err := greeter{m.vm, args.Token, args.NICs}.expect(greeting, m, func() error { return nil })
	if err != nil {
		return nil, err
	}
	for i, err := range frames {
		speaks[i] = args.NICs[i].Announce && err == nil
		if err != nil {
			r.logger.Warn("a NIC does not work", "nic", i, "model", o.NICs[i].Model, "problem", err)
		}
	}
	return speaks, nil
}

// token is a new one, see renewal.Frame.
func token() string {
	var b [8]byte
	rand.Read(b[:]) // it never fails: crypto/rand
	return hex.EncodeToString(b[:])
}

// clip bounds what a guest says for the log.
func clip(s string) string { return s[:min(len(s), 200)] }
