package qemu

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/headwatch/headwatch/runners"
	"github.com/headwatch/headwatch/runners/guest/renewal"
)

// cloneTime bounds a start, on a host that gives QEMU its CPUs: it takes a tenth
// of a second on an idle one.
const cloneTime = 30 * time.Second

// clone starts a machine from a frozen one.
func (t *template) clone(ctx context.Context, f *frozen, s runners.Start) (_ *machine, err error) {
	asked := time.Now()
	o := t.o
	o.Clone = true
	v, err := startVM(ctx, o, f.substance, s.Dir, s.ConsoleLog, t.r.logger)
	if err != nil {
		return nil, err
	}
	qemu := time.Since(asked)
	client, _, err := powerOn(ctx, v, cloneTime, func(ctx context.Context) error { return v.monitor.loadState(ctx, v.state) })
	if err != nil {
		return nil, cloneFault(err)
	}
	agent := time.Since(asked)
	m := newMachine(t.b.Image.OS, t.o.SMP, v, client)
	defer func() {
		if err != nil {
			m.Close() // the first fault counts
		}
	}()
	if id := client.Hello().BootID; id != f.meta.Facts.BootID {
		return nil, &runners.InfraError{Op: "start clone", Err: fmt.Errorf("it says that its boot was %q, and its template's %q", id, f.meta.Facts.BootID)}
	}
	m.facts = f.meta.Facts
	if err := m.renew(ctx, o, f.meta.Speaks, s.Seed); err != nil {
		return nil, err
	}
	m.facts.Cloned, m.facts.Command, m.facts.StartTime = true, Quote(o.Cmdline()), time.Since(asked)
	t.r.logger.Debug("clone", "boot", m.facts.BootID, "qemu", qemu, "agent", agent, "renewed", m.facts.StartTime)
	return m, nil
}

// cloneFault says what it means that a clone did not come up. Its template did, so
// it is the kernel's fault only where the kernel panicked.
func cloneFault(err error) error {
	boot, ok := errors.AsType[*runners.BootError](err)
	if !ok || boot.Panicked {
		return err
	}
	return &runners.InfraError{Op: "start clone", Err: boot}
}

// renew gives a clone its own clock, addresses, randomness and name, and waits
// until a frame of it has passed each wire that its template could use.
func (m *machine) renew(ctx context.Context, o Options, speaks []bool, seed uint64) error {
	ctx, cancel := context.WithTimeout(ctx, cloneTime)
	defer cancel()
	args := renewal.Renew{Seed: make([]byte, renewal.SeedSize), NICs: []renewal.NIC{}, Token: token()}
	rand.Read(args.Seed) // it never fails: crypto/rand
	macs := o.macs()
	for i := range o.NICs {
		n := renewal.NIC{MAC: macs[i], Announce: i < len(speaks) && speaks[i]}
		if o.NICs[i].MAC == "" {
			n.New = address(seed, i).String()
			macs[i] = n.New
		}
		args.NICs = append(args.NICs, n)
	}
	var answer renewal.Renewed
	frames, err := greeter{m.vm, args.Token, args.NICs}.expect(ctx, m, func() error {
		args.Time = time.Now().UnixNano()
		return m.Call(ctx, renewal.OpRenew, args, &answer)
	})
	switch {
	case err != nil:
		return fmt.Errorf("start clone: %w", err)
	case answer.BootID == "" || len(answer.BootID) > 64 || answer.BootID == m.facts.BootID:
		return fmt.Errorf("start clone: boot id %q: want a new one", clip(answer.BootID))
	}
	if err := errors.Join(frames...); err != nil {
		return fmt.Errorf("start clone: %w; the guest says %q", err, clip(fmt.Sprint(answer.Problems)))
	}
	m.facts.BootID, m.facts.MACs = answer.BootID, macs
	return nil
}

// address is a locally administered one, decided by seed and the NIC's place; for
// seed 0 it is drawn.
func address(seed uint64, nic int) net.HardwareAddr {
	var b [16]byte
	if seed == 0 {
		rand.Read(b[:]) // it never fails: crypto/rand
	} else {
		binary.BigEndian.PutUint64(b[:], seed)
		binary.BigEndian.PutUint64(b[8:], uint64(nic))
	}
	sum := sha256.Sum256(b[:])
	sum[0] = sum[0]&^0x01 | 0x02 // of one station, and local
	return sum[:6]
}
