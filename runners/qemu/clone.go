package qemu

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/headwatch/headwatch/runners"
	"github.com/headwatch/headwatch/runners/guest/renewal"
)

// cloneTime bounds a start, on a host that gives QEMU its CPUs: it takes a tenth
// of a second on an idle one.
const cloneTime = 30 * time.Second

// clone starts a machine from a frozen one: the spare, if there is one, else another.
func (t *template) clone(ctx context.Context, f *frozen, s runners.Start) (_ *machine, err error) {
	asked := time.Now()
	if ctx.Err() != nil { // the spare is for another
		return nil, fmt.Errorf("start clone: %w", context.Cause(ctx))
	}
	var spare *spare
	if t.reserve != nil {
		spare = t.reserve.take(ctx)
	}
	m, err := t.wake(ctx, f, s, spare)
	if err != nil {
		return nil, err
	}
	agent := time.Since(asked)
	if err := m.renew(ctx, t.o, f.meta.Speaks, s.Seed); err != nil {
		m.Close() // the first fault counts
		return nil, err
	}
	m.facts.Cloned, m.facts.StartTime = true, time.Since(asked)
	t.r.logger.Debug("clone", "boot", m.facts.BootID, "spare", spare != nil, "agent", agent, "renewed", m.facts.StartTime)
	if t.reserve != nil {
		t.reserve.refill(m.done)
	}
	return m, nil
}

// wake returns a clone that runs: the spare, or one made now. A spare that does not go
// on has died while its guest stood still, which says nothing of the guest.
func (t *template) wake(ctx context.Context, f *frozen, s runners.Start, spare *spare) (*machine, error) {
	if spare != nil {
		spare.vm.proc.raise()
		var err error
		if spare.parked.Load() {
			err = spare.unpark(ctx)
		}
		if err == nil {
			spare.log.attach(s.ConsoleLog)
			return spare.machine, nil
		}
		spare.Close() // how it ended matters to nobody
		t.r.logger.Info("a spare clone did not go on; this start makes its own", "error", err)
	}
	return t.awaken(ctx, f, s.Dir, s.ConsoleLog, false, nil)
}

// awaken starts QEMU with the state of a frozen machine and waits for the agent.
// started, if it is not nil, is called when the guest may run.
func (t *template) awaken(ctx context.Context, f *frozen, dir string, log runners.Console, idle bool, started func(*vm)) (*machine, error) {
	o := t.o
	o.Clone, o.idle = true, idle
	v, err := startVM(ctx, o, f.substance, dir, log, t.r.logger)
	if err != nil {
		return nil, err
	}
	if started != nil {
		started(v)
	}
	client, _, err := powerOn(ctx, v, cloneTime, nil, func(ctx context.Context) error { return v.monitor.loadState(ctx, v.state) })
	if err != nil {
		return nil, cloneFault(err)
	}
	m := newMachine(t.b.Image.OS, t.o, v, client)
	if id := client.Hello().BootID; id != f.meta.Facts.BootID {
		m.Close() // the first fault counts
		return nil, &runners.InfraError{Op: "start clone", Err: fmt.Errorf("it says that its boot was %q, and its template's %q", id, f.meta.Facts.BootID)}
	}
	m.facts = f.meta.Facts
	m.facts.Command = Quote(o.Cmdline())
	return m, nil
}

// spare makes a clone for a start to come. Until asked is closed it has the lowest
// priority, if it is to be quiet, and is renewed once and stopped; after that it
// comes as soon as it can.
func (t *template) spare(ctx context.Context, f *frozen, quiet bool, asked <-chan struct{}) (_ *spare, err error) {
	s := &spare{log: &sink{}}
	var hurry sync.WaitGroup
	made := make(chan struct{})
	defer hurry.Wait()
	defer close(made)
	s.machine, err = t.awaken(ctx, f, "", s.log, quiet, func(v *vm) {
		hurry.Go(func() {
			select {
			case <-asked:
				v.proc.raise()
			case <-made:
			}
		})
	})
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			s.Close() // the first fault counts
		}
	}()
	if closed(asked) {
		return s, nil
	}
	if err := s.renew(ctx, t.o, f.meta.Speaks, 0); err != nil {
		return nil, err
	}
	if s.rest(ctx, asked); closed(asked) {
		return s, nil
	}
	if err := s.park(ctx); err != nil {
		return nil, err
	}
	s.vm.ear.catchUp()
	if err := s.log.fit(); err != nil {
		return nil, err
	}
	return s, nil
}

// rest has the guest rest until it can be renewed again, or somebody asks for it. One
// that is not rested has seeds of its own all the same, those of its first renewal.
func (m *machine) rest(ctx context.Context, asked <-chan struct{}) {
	ctx, cancel := context.WithTimeout(ctx, cloneTime)
	defer cancel()
	over := make(chan struct{})
	var hurry sync.WaitGroup
	hurry.Go(func() {
		select {
		case <-asked:
			cancel()
		case <-over:
		}
	})
	// An agent that is lost shows with the next command.
	_ = m.Call(ctx, renewal.OpRest, nil, nil)
	close(over)
	hurry.Wait()
}

func closed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
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
// until a frame of it has passed each wire that its template could use. It may be done
// again.
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
