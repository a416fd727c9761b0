package qemu

import (
	"context"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"

	"github.com/headwatch/headwatch/runners"
)

// line is a serial line of the guest, of which the host has the far end.
type line struct {
	name string // "console", "uart" or "virtio"
	tape tape

	mu   sync.Mutex
	conn net.Conn
	ear  *ear
}

// chardev is its character device in QEMU.
func (l *line) chardev() string {
	if l.name == consoleID {
		return consoleID
	}
	return lineID(l.name)
}

func lineID(name string) string { return "line-" + name }

// linePort is a port of virtio-serial, which the guest takes for a terminal.
type linePort struct{ name string }

func (p linePort) args() []string {
	return []string{"-device", strings.Join([]string{"virtconsole", "bus=ports.0", "id=port-" + p.name, "chardev=" + lineID(p.name), "name=headwatch." + p.name}, ",")}
}

// checkLines says what is wrong with the lines that a machine is to have.
func checkLines(names []string, serial bool) error {
	for i, name := range names {
		switch {
		case name != "uart" && name != "virtio":
			return fmt.Errorf("line %q: want uart or virtio", name)
		case name == "uart" && serial:
			return fmt.Errorf("line uart: the agent has the second UART; want control virtio")
		case name == "virtio" && serial:
			return fmt.Errorf("line virtio: without virtio-serial; want control virtio")
		case slices.Contains(names[:i], name):
			return fmt.Errorf("line %s: twice", name)
		}
	}
	return nil
}

// openLines makes the connections of the lines besides the console, before QEMU runs.
func (v *vm) openLines(o *Options) error {
	for _, name := range o.Lines {
		conn, fd, err := v.handed.pair(lineID(name))
		if err != nil {
			return err
		}
		o.handed.lines = append(o.handed.lines, fd)
		l := &line{name: name}
		v.lines = append(v.lines, l)
		if err := v.hear(l, conn); err != nil {
			return err
		}
	}
	return nil
}

// hear listens to a line's far end until QEMU closes the other one.
func (v *vm) hear(l *line, conn net.Conn) error {
	e, err := newEar(conn, &l.tape, flow{}, nil)
	if err != nil {
		conn.Close()
		return err
	}
	l.mu.Lock()
	before := l.ear
	l.conn, l.ear = conn, e
	l.mu.Unlock()
	if before != nil {
		before.free() // who held it held the connection
	}
	v.reading.Go(func() {
		e.listen()
		conn.Close()
	})
	return nil
}

// free ends all holds for good. A switch that comes later is one of QEMU's that is gone.
func (l *line) free() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ear.free()
}

// line is the one of a name.
func (m *machine) line(name string) (*line, error) {
	for _, l := range m.vm.lines {
		if l.name == name {
			return l, nil
		}
	}
	return nil, fmt.Errorf("line %q: the machine has %s", name, strings.Join(m.Lines(), ", "))
}

// Lines are the names of its serial lines, "console" first.
func (m *machine) Lines() (names []string) {
	for _, l := range m.vm.lines {
		names = append(names, l.name)
	}
	return names
}

// Type sends bytes to the guest.
func (m *machine) Type(ctx context.Context, name string, p []byte) error {
	l, err := m.line(name)
	if err != nil {
		return err
	}
	l.mu.Lock()
	conn := l.conn
	l.mu.Unlock()
	alive, release := m.whileAlive(ctx)
	defer release()
	stop := context.AfterFunc(alive, func() { conn.SetWriteDeadline(past) })
	defer func() {
		if !stop() {
			conn.SetWriteDeadline(never)
		}
	}()
	if _, err := conn.Write(p); err != nil {
		return fmt.Errorf("line %s: %w", name, because(alive, err))
	}
	return nil
}

// because is why ctx is over, if it is, else err.
func because(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return err
}

// Break sends a break condition down a UART's line.
func (m *machine) Break(ctx context.Context, name string) error {
	l, err := m.line(name)
	if err != nil {
		return err
	}
	if name == "virtio" {
		return fmt.Errorf("line %s: only a UART's line can be broken", name)
	}
	return m.vm.monitor.do(ctx, "chardev-send-break", map[string]string{"id": l.chardev()}, nil)
}

// Hold takes nothing of what the guest says until release is called.
func (m *machine) Hold(name string) (release func(), err error) {
	l, err := m.line(name)
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.ear.hold(), nil
}

// Record keeps what a line says from now on.
func (m *machine) Record(name string, limit int) (take func() []byte, stop func() (lost int64), err error) {
	l, err := m.line(name)
	if err != nil {
		return nil, nil, err
	}
	take, stop = l.tape.record(limit)
	return take, stop, nil
}

// Unplug takes a virtio line's device away from the guest.
func (m *machine) Unplug(ctx context.Context, name string) error {
	if err := m.pluggable(name); err != nil {
		return err
	}
	if err := m.vm.monitor.do(ctx, "device_del", map[string]string{"id": "port-" + name}, nil); err != nil {
		return err
	}
	return m.vm.monitor.awaitDeleted(ctx, "port-"+name)
}

// Plug brings it back.
func (m *machine) Plug(ctx context.Context, name string) error {
	if err := m.pluggable(name); err != nil {
		return err
	}
	return m.vm.monitor.do(ctx, "device_add", map[string]string{"driver": "virtconsole", "bus": "ports.0", "id": "port-" + name,
		"chardev": lineID(name), "name": "headwatch." + name}, nil)
}

func (m *machine) pluggable(name string) error {
	if _, err := m.line(name); err != nil {
		return err
	}
	if name != "virtio" {
		return fmt.Errorf("line %s: only virtio lines can be unplugged", name)
	}
	return nil
}

// Switch puts another connection behind a line while the guest uses it. What was under
// way is heard or lost.
func (m *machine) Switch(ctx context.Context, name string) error {
	l, err := m.line(name)
	if err != nil {
		return err
	}
	if name == consoleID {
		return fmt.Errorf("line %s: crashes are found in what it says, so it stays", name)
	}
	ours, theirs, err := socketPair(lineID(name))
	if err != nil {
		return err
	}
	defer theirs.Close()
	conn, err := net.FileConn(ours)
	ours.Close()
	if err != nil {
		return fmt.Errorf("line %s: %w", name, err)
	}
	fd := "switch-" + name
	if err := m.vm.monitor.do(ctx, "getfd", map[string]string{"fdname": fd}, theirs); err != nil {
		conn.Close()
		return err
	}
	backend := map[string]any{"type": "socket", "data": map[string]any{"server": false,
		"addr": map[string]any{"type": "fd", "data": map[string]string{"str": fd}}}}
	if err := m.vm.monitor.do(ctx, "chardev-change", map[string]any{"id": l.chardev(), "backend": backend}, nil); err != nil {
		conn.Close()
		return err
	}
	return m.vm.hear(l, conn)
}

var (
	_ runners.Serial = (*machine)(nil)
	_ io.Writer      = (*tape)(nil)
)
