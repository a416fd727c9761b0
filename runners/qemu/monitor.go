package qemu

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"github.com/digitalocean/go-qemu/qmp"
)

// monitor speaks QMP with one QEMU. The library beneath has no deadlines and
// stalls behind unread events, so events are always read, and a command whose
// context ends is left behind until close.
type monitor struct {
	qmp   *qmp.SocketMonitor
	tasks sync.WaitGroup
	ended chan struct{} // closed with the first event that ends the guest

	once sync.Once
	end  ending // set before ended is closed
}

// ending is QEMU's word on how the guest ended.
type ending struct {
	event  string // "SHUTDOWN", "GUEST_PANICKED" or "STOP"
	reason string // QMP's ShutdownCause: "guest-shutdown", "guest-reset", …
	guest  bool   // the guest did it
}

// dialMonitor connects to a socket on which QEMU listens or is going to.
func dialMonitor(path string) (*monitor, error) {
	q, err := qmp.NewSocketMonitor("unix", path, 10*time.Second)
	if err != nil {
		return nil, err
	}
	return &monitor{qmp: q, ended: make(chan struct{})}, nil
}

// greet returns when the greeting came or QEMU is gone: the caller ends QEMU to
// end the wait.
func (m *monitor) greet() error {
	if err := m.qmp.Connect(); err != nil {
		return err
	}
	events, err := m.qmp.Events(context.Background()) // the library ignores the context
	if err != nil {
		return err
	}
	m.tasks.Go(func() {
		for e := range events {
			m.see(e)
		}
	})
	return nil
}

func (m *monitor) see(e qmp.Event) {
	switch e.Event {
	case "SHUTDOWN", "GUEST_PANICKED":
	case "STOP": // nobody asked for it, and it follows neither of the others
	default:
		return
	}
	m.once.Do(func() {
		m.end.event = e.Event
		m.end.reason, _ = e.Data["reason"].(string)
		m.end.guest, _ = e.Data["guest"].(bool)
		close(m.ended)
	})
}

// run executes a command without arguments and without an answer that matters.
func (m *monitor) run(ctx context.Context, command string) error {
	text, err := json.Marshal(qmp.Command{Execute: command})
	if err != nil {
		return err
	}
	answered := make(chan error, 1)
	m.tasks.Go(func() {
		_, err := m.qmp.Run(text)
		answered <- err
	})
	select {
	case err = <-answered:
	case <-ctx.Done():
		err = ctx.Err()
	}
	if err != nil {
		return fmt.Errorf("monitor: %s: %w", command, err)
	}
	return nil
}

func (m *monitor) version() string { return m.qmp.Version.String() }

// close ends the connection and waits for every goroutine.
func (m *monitor) close() {
	m.qmp.Disconnect() // closing what QEMU closed already is no news
	m.tasks.Wait()
}
