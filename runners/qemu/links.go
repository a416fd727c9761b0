package qemu

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"time"

	"github.com/headwatch/headwatch/runners"
	nics "github.com/headwatch/headwatch/runners/nic"
)

// links are the host's ends of a machine's NICs. They are there before QEMU starts
// and go after it has ended.
type links struct {
	log   *slog.Logger
	wires map[int]net.Conn // by NIC: frames, each behind its length
	// floods is told of a guest that wants more of a wire than it is given, for long.
	floods func(nic int, frames int64)
	ends   []func() error // in the order in which they were opened
}

// oldestQEMU is the version that headwatch needs.
const oldestQEMU = "7.2"

// checkNICs says which NIC the installed QEMU cannot offer. It asks QEMU's version
// only when that matters.
func (r *Runner) checkNICs(ctx context.Context, list []runners.NIC) error {
	for i, n := range list {
		if nics.NIC(n).CheckVersion(oldestQEMU) == nil {
			continue
		}
		version, err := r.Version(ctx)
		if err != nil {
			return err
		}
		if err := nics.NIC(n).CheckVersion(version); err != nil {
			return fmt.Errorf("nic %d: %w", i, err)
		}
	}
	return nil
}

// Backends lists the kinds of network back end that this QEMU was built with.
func (r *Runner) Backends(ctx context.Context) ([]string, error) {
	out, err := r.ask(ctx, "-netdev", "help")
	if err != nil {
		return nil, err
	}
	_, list, _ := strings.Cut(out, ":\n") // after a heading
	return strings.Fields(list), nil
}

// open makes what the NICs of o need and hands it over. Whatever it returns, close
// undoes what was done.
func (l *links) open(ctx context.Context, o *Options, h *handover, user *account) error {
	l.wires = map[int]net.Conn{}
	o.handed.ends = make([]nics.Ends, len(o.NICs))
	for i, n := range o.NICs {
		var err error
		switch n.Link {
		case nics.Wire:
			l.wires[i], o.handed.ends[i].Wire, err = h.pair(fmt.Sprintf("wire%d", i))
		case nics.Tap:
			o.handed.ends[i], err = l.openTap(i, nics.NIC(n), h)
		case nics.VFIO:
			err = l.passThrough(ctx, i, nics.NIC(n), o, user)
		}
		if err != nil {
			return fmt.Errorf("nic %d: %w", i, err)
		}
	}
	return nil
}

func (l *links) openTap(i int, n nics.NIC, h *handover) (nics.Ends, error) {
	t, err := nics.System{}.OpenTap(n)
	if err != nil {
		return nics.Ends{}, err
	}
	l.ends = append(l.ends, t.Close)
	var e nics.Ends
	for _, f := range t.Queues {
		e.Tap = append(e.Tap, h.add(f))
	}
	for _, f := range t.Vhost {
		e.Vhost = append(e.Vhost, h.add(f))
	}
	t.Queues, t.Vhost = nil, nil // the handover closes them
	if t.Far == nil {
		return e, nil
	}
	return e, l.attach(i, t.Far)
}

// attach makes a wire of the harness's end of a link.
func (l *links) attach(i int, f nics.Frames) error {
	wire, err := nics.Attach(f, nics.Limits{Patience: wirePatience, Flood: func(side int, c nics.Counters) {
		l.log.Warn("a machine's wire is flooded and held to its rate", "nic", i, "by_harness", side == 0, "frames", c.Frames)
		if side != 0 && l.floods != nil {
			l.floods(i, c.Frames)
		}
	}})
	if err != nil {
		return err
	}
	l.wires[i] = wire
	l.ends = append(l.ends, wire.Close)
	return nil
}

// wirePatience is for how long a guest may want more of a wire than it is given. A
// test of what a NIC can do takes seconds.
const wirePatience = time.Minute

// passThrough takes a NIC from the host, for QEMU to open as user, and its other
// end for the harness.
func (l *links) passThrough(ctx context.Context, i int, n nics.NIC, o *Options, user *account) error {
	if o.Passthrough == "" {
		return errors.New("link vfio: this command keeps no journal by which a NIC is given back after a kill")
	}
	var system nics.System
	b, err := system.Bind(ctx, o.Passthrough, n.Model)
	if err != nil {
		return err
	}
	l.ends = append(l.ends, func() error {
		ctx, cancel := context.WithTimeout(context.Background(), giveBackTime)
		defer cancel()
		return b.Restore(ctx)
	})
	if user != nil {
		if err := b.Grant(int(user.uid), int(user.gid)); err != nil {
			return err
		}
	}
	if err := lockMemory(o.Memory); err != nil {
		return err
	}
	port, err := system.OpenPort(n.Port, n.MTU)
	if err != nil {
		return err
	}
	return l.attach(i, port)
}

// giveBackTime bounds how long a passed-through NIC takes to be given back.
const giveBackTime = 30 * time.Second

// wire is the harness's end of a NIC's link; nil where it has none.
func (l *links) wire(i int) net.Conn { return l.wires[i] }

// close takes the links down, the last first. What fails stays in its journal, for
// the next start.
func (l *links) close() {
	for i := len(l.ends) - 1; i >= 0; i-- {
		if err := l.ends[i](); err != nil && l.log != nil {
			l.log.Error("a machine's link was not given back; headwatch fsck --repair tries again", "error", err)
		}
	}
	l.ends = nil
}
