package runnertest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"

	"github.com/headwatch/headwatch/runners"
)

// A recording is a file of JSON lines, each an entry. The first holds a boot, the
// second the console up to the agent's first answer; answers follow, and the
// console's rest with the power-off.
type entry struct {
	Boot     *bootEntry `json:"boot,omitempty"`
	Console  string     `json:"console,omitempty"`
	Call     *callEntry `json:"call,omitempty"`
	PowerOff *struct{}  `json:"power_off,omitempty"` // the guest powered off cleanly
}

type bootEntry struct {
	OS    string        `json:"os"`
	CPUs  int           `json:"cpus"`
	Facts runners.Facts `json:"facts"`
}

// callEntry is a call and its answer.
type callEntry struct {
	Op      string          `json:"op"`
	Args    string          `json:"args"` // compact JSON
	Result  json.RawMessage `json:"result,omitempty"`
	Error   string          `json:"error,omitempty"`
	Refused string          `json:"refused,omitempty"` // the kernel's refusal; Error is set too
	Waits   bool            `json:"waits,omitempty"`   // no answer before it was cancelled
}

// Recorder is a runner that records what another one's machines do. It keeps the
// console and facts of the first machine that powers off, and one answer for
// each call.
type Recorder struct {
	runners.Runner

	mu       sync.Mutex
	boot     *bootEntry
	early    string // console up to the first answer
	late     string // and from there to the end
	calls    []callEntry
	poweroff bool
}

// NewRecorder records what r does.
func NewRecorder(r runners.Runner) *Recorder { return &Recorder{Runner: r} }

// Boot boots with the recorded runner.
func (r *Recorder) Boot(ctx context.Context, b runners.Bootable, s runners.Spec) (runners.Machine, error) {
	m, err := r.Runner.Boot(ctx, b, s)
	if err != nil {
		return nil, err
	}
	return &recorded{Machine: m, r: r, log: s.ConsoleLog, early: s.ConsoleLog.Tail(1 << 20)}, nil
}

type recorded struct {
	runners.Machine
	r     *Recorder
	log   runners.Console
	early string
}

func (m *recorded) Call(ctx context.Context, op string, args, result any) error {
	if its(op) {
		return m.Machine.Call(ctx, op, args, result)
	}
	var raw json.RawMessage
	err := m.Machine.Call(ctx, op, args, &raw)
	call := callEntry{Op: op, Result: raw}
	var bad error
	if call.Args, bad = compact(args); bad != nil {
		return bad
	}
	switch {
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		call.Waits = true
		m.r.add(call)
		return err
	case err != nil:
		select {
		case <-m.Done(): // an answer of the machine's end, not of the guest
			return err
		default:
		}
		call.Error, call.Refused, call.Result = err.Error(), Refused(err), nil
		m.r.add(call)
		return err
	}
	m.r.add(call)
	if result == nil {
		return nil
	}
	return json.Unmarshal(raw, result)
}

func (m *recorded) PowerOff(ctx context.Context) error {
	err := m.Machine.PowerOff(ctx)
	if err != nil {
		return err
	}
	m.r.mu.Lock()
	defer m.r.mu.Unlock()
	if !m.r.poweroff {
		m.r.poweroff = true
		m.r.boot = &bootEntry{m.OS(), m.CPUs(), m.Facts()}
		m.r.early = m.early
		m.r.late = strings.TrimPrefix(m.log.Tail(1<<20), m.early)
	}
	return nil
}

func (r *Recorder) add(call callEntry) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range r.calls {
		if c.Op == call.Op && c.Args == call.Args {
			return
		}
	}
	r.calls = append(r.calls, call)
}

// mail is what a kernel's banner says of who built it.
var mail = regexp.MustCompile(`[\w.+-]+@[\w.-]+`)

// Save writes the recording. Names of the recording machine stay out of it.
func (r *Recorder) Save(path string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.boot == nil {
		return errors.New("save recording: no machine was powered off")
	}
	boot := *r.boot
	binary, _, _ := strings.Cut(boot.Facts.Command, " ")
	boot.Facts.Command = filepath.Base(binary) + " …"
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	entries := []entry{{Boot: &boot}, {Console: mail.ReplaceAllString(r.early, "builder@example.org")}}
	for i := range r.calls {
		entries = append(entries, entry{Call: &r.calls[i]})
	}
	entries = append(entries, entry{Console: r.late}, entry{PowerOff: &struct{}{}})
	for _, e := range entries {
		if err := enc.Encode(e); err != nil {
			return fmt.Errorf("save recording: %w", err)
		}
	}
	return os.WriteFile(path, []byte(b.String()), 0o644)
}

// Compare says where r's answers differ from a recording's.
func (r *Recorder) Compare(fake *Replay) []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var diffs []string
	for _, c := range r.calls {
		was, ok := fake.calls[[2]string{c.Op, c.Args}]
		switch {
		case !ok:
			diffs = append(diffs, fmt.Sprintf("%s %s is not recorded", c.Op, c.Args))
		case string(was.Result) != string(c.Result), was.Error != c.Error, was.Refused != c.Refused, was.Waits != c.Waits:
			diffs = append(diffs, fmt.Sprintf("%s %s: %+v, recorded %+v", c.Op, c.Args, c, was))
		}
	}
	if r.poweroff != fake.off {
		diffs = append(diffs, fmt.Sprintf("clean power-off: %v, recorded %v", r.poweroff, fake.off))
	}
	return diffs
}
