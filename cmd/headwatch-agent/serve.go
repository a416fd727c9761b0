//go:build linux || freebsd

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/headwatch/headwatch/runners/guest"
)

const (
	// nextHost is the pause before a port without a host is read again. It is
	// polled because a virtio port that nobody holds open reads as end-of-file at
	// once and has no way to wait for the other side.
	nextHost = 20 * time.Millisecond
	// byeWait is how long the host may take to return the end marker.
	byeWait = 10 * time.Second
)

// agent serves one host after the other on one port.
type agent struct {
	control control
	hello   guest.Hello
	ops     map[string]guest.Operation
	out     console
	flush   func()       // brings file systems to rest
	off     func() error // powers off; returns only when the kernel refused
}

// control is the channel to the host.
type control struct {
	port   io.ReadWriteCloser
	kind   string // "virtio" or "serial"
	device string
}

// window is how many bytes of the host's the channel keeps until they are read.
func (c control) window() int {
	if c.kind == "virtio" {
		return virtioWindow
	}
	return uartWindow
}

// serve returns when a power-off was refused, ctx is done or the stream is
// damaged.
func (a *agent) serve(ctx context.Context) error {
	pause := time.NewTimer(0)
	defer pause.Stop()
	for {
		ending, err := guest.Serve(ctx, a.control.port, a.hello, a.ops)
		if err == nil {
			return a.end(ctx, ending)
		}
		if !errors.Is(err, guest.ErrHostGone) {
			return fmt.Errorf("%s: %w", a.control.device, err)
		}
		pause.Reset(nextHost)
		select {
		case <-pause.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// end powers off as the host asked. The end marker is the last thing it says,
// unless the kernel then refuses.
func (a *agent) end(ctx context.Context, ending *guest.Ending) error {
	a.flush()
	bye, cancel := context.WithTimeout(ctx, byeWait)
	defer cancel()
	if err := ending.Bye(bye); err != nil {
		a.out.say("%v", err)
	}
	err := a.off()
	if err == nil {
		err = errors.New("the kernel carried on")
	}
	err = fmt.Errorf("power-off: %w", err)
	if tell := ending.Refuse(ctx, err); tell != nil {
		a.out.say("%v", tell)
	}
	return err
}
