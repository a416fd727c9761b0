package qemu

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
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

	freezing atomic.Bool   // STOP is asked for
	paused   chan struct{} // holds one for a STOP that was
	deleted  chan string   // holds the last devices that went, by their ids
	moved    chan struct{} // closed with the first event that says how a migration ended
	whither  string        // its status; set before moved is closed
	moveOnce sync.Once
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
	return &monitor{qmp: q, ended: make(chan struct{}), moved: make(chan struct{}), paused: make(chan struct{}, 1),
		deleted: make(chan string, 8)}, nil
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
	case "STOP": // unless it was asked for, and it follows neither of the others
		if m.freezing.Load() {
			select {
			case m.paused <- struct{}{}:
			default:
			}
			return
		}
	case "DEVICE_DELETED":
		id, _ := e.Data["device"].(string)
		select {
		case m.deleted <- id:
		default: // nobody waits for so many
		}
		return
	case "MIGRATION":
		m.migrated(e)
		return
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

func (m *monitor) migrated(e qmp.Event) {
	status, _ := e.Data["status"].(string)
	if status != "completed" && status != "failed" && status != "cancelled" {
		return
	}
	m.moveOnce.Do(func() {
		m.whither = status
		close(m.moved)
	})
}

// awaitDeleted waits until QEMU has let go of a device: the guest may have to, too.
func (m *monitor) awaitDeleted(ctx context.Context, id string) error {
	for {
		select {
		case gone := <-m.deleted:
			if gone == id {
				return nil
			}
		case <-m.ended:
			return fmt.Errorf("monitor: device %s is still there: the guest has ended", id)
		case <-ctx.Done():
			return fmt.Errorf("monitor: device %s is still there: %w", id, context.Cause(ctx))
		}
	}
}

// run executes a command without arguments and without an answer that matters.
func (m *monitor) run(ctx context.Context, command string) error {
	return m.do(ctx, command, nil, nil)
}

// aliveTime is how long a QEMU that works may take for an answer, on a busy host.
const aliveTime = 10 * time.Second

// alive says why QEMU itself does not answer.
func (m *monitor) alive(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, aliveTime)
	defer cancel()
	return m.run(ctx, "query-status")
}

// do executes a command without an answer that matters, and hands over a file with
// it, if there is one.
func (m *monitor) do(ctx context.Context, command string, args any, file *os.File) error {
	_, err := m.ask(ctx, command, args, file)
	return err
}

// ask executes a command and returns QEMU's answer.
func (m *monitor) ask(ctx context.Context, command string, args any, file *os.File) ([]byte, error) {
	text, err := json.Marshal(qmp.Command{Execute: command, Args: args})
	if err != nil {
		return nil, err
	}
	type answer struct {
		text []byte
		err  error
	}
	answered := make(chan answer, 1)
	m.tasks.Go(func() {
		text, err := m.qmp.RunWithFile(text, file)
		answered <- answer{text, err}
	})
	var a answer
	select {
	case a = <-answered:
	case <-ctx.Done():
		a.err = ctx.Err()
	}
	if a.err != nil {
		return nil, fmt.Errorf("monitor: %s: %w", command, a.err)
	}
	return a.text, nil
}

// human executes a command of the monitor for people, of which some have no other
// form, and returns what it prints.
func (m *monitor) human(ctx context.Context, line string) (string, error) {
	text, err := m.ask(ctx, "human-monitor-command", map[string]any{"command-line": line}, nil)
	if err != nil {
		return "", err
	}
	var said struct {
		Return string `json:"return"`
	}
	if err := json.Unmarshal(text, &said); err != nil {
		return "", fmt.Errorf("monitor: %s: %w", line, err)
	}
	return said.Return[:min(len(said.Return), maxSample)], nil
}

// capability is one of a migration's.
type capability struct {
	Name  string `json:"capability"`
	State bool   `json:"state"`
}

// stateOnly makes a migration leave out memory that is shared, for it is in a file,
// and tell how it ended.
func (m *monitor) stateOnly(ctx context.Context) error {
	caps := []capability{{"x-ignore-shared", true}, {"events", true}}
	return m.do(ctx, "migrate-set-capabilities", map[string]any{"capabilities": caps}, nil)
}

// saveState stops the guest and writes the state of its devices to a file.
func (m *monitor) saveState(ctx context.Context, to *os.File) error {
	m.freezing.Store(true)
	if err := m.run(ctx, "stop"); err != nil {
		return err
	}
	if err := m.stateOnly(ctx); err != nil {
		return err
	}
	const name = "state"
	if err := m.do(ctx, "getfd", map[string]any{"fdname": name}, to); err != nil {
		return err
	}
	if err := m.do(ctx, "migrate", map[string]any{"uri": "fd:" + name}, nil); err != nil {
		return err
	}
	select {
	case <-m.moved:
	case <-m.ended:
		return fmt.Errorf("monitor: migrate: qemu ended with it (%s)", m.end.event)
	case <-ctx.Done():
		return fmt.Errorf("monitor: migrate: %w", context.Cause(ctx))
	}
	if m.whither != "completed" {
		return fmt.Errorf("monitor: migrate: %s", m.whither)
	}
	return nil
}

// loadState gives a QEMU that waits for it the state in its descriptor fd. The
// guest runs from then on.
func (m *monitor) loadState(ctx context.Context, fd int) error {
	if err := m.stateOnly(ctx); err != nil {
		return err
	}
	return m.do(ctx, "migrate-incoming", map[string]any{"uri": fmt.Sprintf("fd:%d", fd)}, nil)
}

// pause stops the guest until resume. It returns when the event was seen, so that
// no later one is taken for it.
func (m *monitor) pause(ctx context.Context) error {
	m.freezing.Store(true)
	if err := m.run(ctx, "stop"); err != nil {
		return err
	}
	select {
	case <-m.paused:
		return nil
	case <-m.ended:
		return fmt.Errorf("monitor: stop: qemu ended with it (%s)", m.end.event)
	case <-ctx.Done():
		return fmt.Errorf("monitor: stop: %w", context.Cause(ctx))
	}
}

func (m *monitor) resume(ctx context.Context) error {
	m.freezing.Store(false)
	return m.run(ctx, "cont")
}

func (m *monitor) version() string { return m.qmp.Version.String() }

// close ends the connection and waits for every goroutine.
func (m *monitor) close() {
	m.qmp.Disconnect() // closing what QEMU closed already is no news
	m.tasks.Wait()
}
