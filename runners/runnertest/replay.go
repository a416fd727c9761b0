package runnertest

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/headwatch/headwatch/runners"
)

// Replay is a runner whose machines say again what a recorded one said. Calls
// are answered by operation and arguments, in any order; one that was not
// recorded is an error of the rig.
type Replay struct {
	name    string
	boot    bootEntry
	console [2]string // up to the first answer, and after it
	calls   map[[2]string]callEntry
	off     bool
	boots   atomic.Int64
}

var _ runners.Runner = (*Replay)(nil)

// bootWarning is what the suite's guest has its kernel say for WarnsAtBoot.
const bootWarning = "WARNING: CPU: 0 PID: 1 at runnertest.c:1 " + atBoot + "+0x0/0x10\r\n---[ end trace 0000000000000000 ]---\r\n"

// maxEntry bounds a line of a recording.
const maxEntry = 4 << 20

// LoadReplay reads a recording that Recorder.Save made.
func LoadReplay(path string) (*Replay, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	r := &Replay{name: path, calls: make(map[[2]string]callEntry)}
	sc := bufio.NewScanner(f)
	sc.Buffer(nil, maxEntry)
	booted, spoken := false, 0
	for n := 1; sc.Scan(); n++ {
		var e entry
		dec := json.NewDecoder(bytes.NewReader(sc.Bytes()))
		dec.DisallowUnknownFields()
		if err := dec.Decode(&e); err != nil {
			return nil, fmt.Errorf("%s:%d: %w", path, n, err)
		}
		switch {
		case e.Boot != nil:
			r.boot, booted = *e.Boot, true
		case e.Call != nil:
			r.calls[[2]string{e.Call.Op, e.Call.Args}] = *e.Call
		case e.PowerOff != nil:
			r.off = true
		case spoken < len(r.console):
			r.console[spoken] = e.Console
			spoken++
		}
	}
	if err := sc.Err(); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if !booted {
		return nil, fmt.Errorf("%s: no boot in it", path)
	}
	return r, nil
}

// Boot says what the recorded kernel said and returns a machine with a boot id of
// its own.
func (r *Replay) Boot(ctx context.Context, b runners.Bootable, s runners.Spec) (runners.Machine, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("boot: %w", err)
	}
	if b.Image.OS != r.boot.OS || s.SMP != r.boot.CPUs {
		return nil, fmt.Errorf("boot: %s has %s with %d CPUs", r.name, r.boot.OS, r.boot.CPUs)
	}
	s.ConsoleLog.Write([]byte(r.console[0])) // a console never fails
	if slices.Contains(strings.Fields(b.Cmdline), WarnsAtBoot) {
		s.ConsoleLog.Write([]byte(bootWarning))
	}
	m := &replayed{r: r, log: s.ConsoleLog, facts: r.boot.Facts, done: make(chan struct{})}
	m.facts.BootID = fmt.Sprintf("%s-%d", r.boot.Facts.BootID, r.boots.Add(1))
	m.facts.Template = m.facts.BootID
	return m, nil
}

// Command is the recorded machine's.
func (r *Replay) Command(runners.Bootable, runners.Spec) string { return r.boot.Facts.Command }

// Template replays a cold boot, and each start is the recorded machine again, with a
// boot id of its own.
func (r *Replay) Template(ctx context.Context, b runners.Bootable, s runners.Spec) (runners.Template, error) {
	m, err := r.Boot(ctx, b, s)
	if err != nil {
		return nil, err
	}
	f := m.Facts()
	if _, err := m.Close(); err != nil {
		return nil, err
	}
	return &replayedTemplate{r: r, b: b, spec: s, facts: f}, nil
}

type replayedTemplate struct {
	r      *Replay
	b      runners.Bootable
	spec   runners.Spec
	facts  runners.Facts
	closed atomic.Bool
}

func (t *replayedTemplate) Facts() runners.Facts { return t.facts }

func (t *replayedTemplate) Close() error {
	t.closed.Store(true)
	return nil
}

func (t *replayedTemplate) Start(ctx context.Context, s runners.Start) (runners.Machine, error) {
	if t.closed.Load() {
		return nil, errors.New("start: template is closed")
	}
	spec := t.spec
	spec.Dir, spec.ConsoleLog = s.Dir, s.ConsoleLog
	m, err := t.r.Boot(ctx, t.b, spec)
	if err != nil {
		return nil, err
	}
	f := &m.(*replayed).facts
	f.Template, f.Cloned = t.facts.BootID, true
	return m, nil
}

// Describe says what booted the recorded machine.
func (r *Replay) Describe(ctx context.Context) (string, error) {
	if err := ctx.Err(); err != nil {
		return "", fmt.Errorf("describe the runner: %w", err)
	}
	return fmt.Sprintf("recording of QEMU %s, %s", r.boot.Facts.Monitor, r.boot.Facts.Accel), nil
}

type replayed struct {
	r     *Replay
	log   runners.Console
	facts runners.Facts
	once  sync.Once
	done  chan struct{}
	exit  runners.Exit // set before done is closed

	mu   sync.Mutex
	kept string // what Remember keeps
}

// own answers what no recording can: what belongs to one machine alone.
func (m *replayed) own(op, args string, result any) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	var answer any
	switch op {
	case Random:
		b := make([]byte, 32)
		rand.Read(b) // it never fails: crypto/rand
		answer = b
	case Clock:
		answer = time.Now().UnixNano()
	case Remember:
		answer = [2]string{m.kept, m.kept}
		if err := json.Unmarshal([]byte(args), &m.kept); err != nil {
			return err
		}
	default:
		return fmt.Errorf("%s: a recording has no NICs", op)
	}
	text, err := json.Marshal(answer)
	if err != nil {
		return err
	}
	return json.Unmarshal(text, result)
}

func (m *replayed) OS() string            { return m.r.boot.OS }
func (m *replayed) CPUs() int             { return m.r.boot.CPUs }
func (m *replayed) Facts() runners.Facts  { return m.facts }
func (m *replayed) Done() <-chan struct{} { return m.done }

// Wire is nil: a recording has no cable.
func (m *replayed) Wire(int) net.Conn { return nil }

// Starved is 0: a recording needs no CPU.
func (m *replayed) MACs() []string         { return m.Facts().MACs }
func (m *replayed) Starved() time.Duration { return 0 }

func (m *replayed) Crashes() []string {
	var titles []string
	for _, c := range m.log.Crashes() {
		titles = append(titles, c.Title)
	}
	return titles
}

var errReplayOver = errors.New("machine is closed")

func (m *replayed) Call(ctx context.Context, op string, args, result any) error {
	select {
	case <-m.done:
		return fmt.Errorf("%s: %w", op, errReplayOver)
	default:
	}
	key, err := compact(args)
	if err != nil {
		return err
	}
	if its(op) {
		return m.own(op, key, result)
	}
	c, ok := m.r.calls[[2]string{op, key}]
	switch {
	case !ok:
		return fmt.Errorf("%s: not in %s with arguments %s", op, m.r.name, key)
	case c.Waits:
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s: %w", op, context.Cause(ctx))
		case <-m.done:
			return fmt.Errorf("%s: %w", op, errReplayOver)
		}
	case c.Refused != "":
		return &replayedRefusal{c.Error, c.Refused}
	case c.Error != "":
		return errors.New(c.Error)
	case result == nil:
		return nil
	}
	return json.Unmarshal(c.Result, result)
}

// replayedRefusal is the recorded kernel's.
type replayedRefusal struct{ text, refused string }

func (r *replayedRefusal) Error() string         { return r.text }
func (r *replayedRefusal) KernelRefused() string { return r.refused }

func (m *replayed) PowerOff(ctx context.Context) error {
	select {
	case <-m.done:
		return fmt.Errorf("power off: %w", errReplayOver)
	default:
	}
	if !m.r.off {
		return fmt.Errorf("power off: not in %s", m.r.name)
	}
	m.log.Write([]byte(m.r.console[1]))
	m.end(runners.ExitPowerOff)
	return ctx.Err()
}

func (m *replayed) Close() (runners.Exit, error) {
	m.end(runners.ExitKilled)
	return m.exit, nil
}

func (m *replayed) end(how runners.Exit) {
	m.once.Do(func() {
		m.exit = how
		close(m.done)
	})
}
