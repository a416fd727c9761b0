package qemu

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/headwatch/headwatch/runners/guest/renewal"
)

// maxFrame bounds a frame on a wire: QEMU sends none above 64 KiB and some headers.
const maxFrame = 1 << 17

// greeter waits for the frame that a guest sends out of each NIC to show that it
// works.
type greeter struct {
	v     *vm
	token string
	nics  []renewal.NIC // New or MAC is where the frame comes from
}

// repeatEvery is how long a frame may take on an idle host, many times over; then
// the guest is asked for another.
const repeatEvery = 500 * time.Millisecond

// expect has the guest send its frames and returns what became of that of each
// NIC; see await. The error is send's, or that of asking again.
func (g greeter) expect(ctx context.Context, m *machine, send func() error) ([]error, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	greeted := make(chan []error, 1)
	go func() { greeted <- g.await(ctx) }()
	if err := send(); err != nil {
		cancel()
		<-greeted
		return nil, err
	}
	again := time.NewTicker(repeatEvery)
	defer again.Stop()
	for {
		select {
		case found := <-greeted:
			return found, nil
		case <-again.C:
		}
		err := m.Call(ctx, renewal.OpAnnounce, renewal.Announce{NICs: g.nics, Token: g.token}, nil)
		if err != nil && ctx.Err() == nil {
			cancel()
			<-greeted
			return nil, err
		}
	}
}

// await returns what became of the frame of each NIC, nil where it came or was not
// to come. ctx bounds the wait.
func (g greeter) await(ctx context.Context) []error {
	found := make([]error, len(g.nics))
	type answer struct {
		nic int
		err error
	}
	answers, waiting := make(chan answer), 0
	for i, n := range g.nics {
		if !n.Announce {
			continue
		}
		waiting++
		go func() { answers <- answer{i, g.hear(ctx, i)} }()
	}
	for range waiting {
		a := <-answers
		found[a.nic] = a.err
	}
	return found
}

// hear reads frames until it has the guest's. What came before it is gone.
func (g greeter) hear(ctx context.Context, i int) error {
	src, err := net.ParseMAC(g.nics[i].MAC)
	if g.nics[i].New != "" {
		src, err = net.ParseMAC(g.nics[i].New)
	}
	if err != nil {
		return err
	}
	wire := g.v.links.wire(i)
	defer wire.SetReadDeadline(time.Time{}) // an error shows with the next read
	unhook := context.AfterFunc(ctx, func() { wire.SetReadDeadline(time.Unix(1, 0)) })
	defer unhook()
	for {
		frame, err := readFrame(wire)
		if ctx.Err() != nil {
			return fmt.Errorf("nic %d: no frame from %s: %w", i, src, context.Cause(ctx))
		}
		if err != nil {
			return fmt.Errorf("nic %d: %w", i, err)
		}
		if renewal.IsFrame(frame, src, g.token) {
			return nil
		}
	}
}

// readFrame reads one frame of a wire, and no byte more.
func readFrame(r io.Reader) ([]byte, error) {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(head[:])
	if n > maxFrame {
		return nil, fmt.Errorf("a frame of %d bytes: want at most %d", n, maxFrame)
	}
	frame := make([]byte, n)
	_, err := io.ReadFull(r, frame)
	return frame, err
}
