package console

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/headwatch/headwatch/suites"
	"github.com/headwatch/headwatch/suites/console/guest"
	"github.com/headwatch/headwatch/suites/kernel"
)

// consolePath is the console's device in every guest.
const consolePath = "/dev/console"

// devices are the lines' devices, by OS and line.
var devices = map[string]map[string]string{
	"linux":   {"console": "/dev/ttyS0", "uart": "/dev/ttyS1", "virtio": "/dev/hvc0"},
	"freebsd": {"console": "/dev/ttyu0", "uart": "/dev/ttyu1", "virtio": "/dev/ttyV0.0"},
}

// setting is a sysctl that cases change.
type setting struct{ name, value string }

// settings make kernels say all of what they are made to say, at once and on the
// console. Linux: Documentation/admin-guide/sysctl/kernel.rst, net.rst. FreeBSD:
// sys/kern/kern_sig.c, sys/netinet/tcp_input.c.
var settings = map[string][]setting{
	"linux":   {{"kernel.printk", "7 4 1 7"}, {"kernel.printk_devkmsg", "on\n"}},
	"freebsd": {{"kern.logsigexit", "1"}},
}

// bed is a guest under a case, with the far ends of its lines.
type bed struct {
	t      *suites.T
	far    suites.Serial
	seed   uint64 // of the round
	grace  time.Duration
	blower *blower
}

// lay prepares a guest.
func lay(ctx context.Context, t *suites.T, grace time.Duration) (*bed, error) {
	far, ok := t.Guest.(suites.Serial)
	if !ok {
		return nil, suites.Skipf("the far end of the machine's console is not in our hands")
	}
	if devices[t.Guest.OS()] == nil {
		return nil, fmt.Errorf("the terminals of OS %q are not known", t.Guest.OS())
	}
	for _, s := range settings[t.Guest.OS()] {
		if err := kernel.SetSysctl(ctx, t.Guest, s.name, s.value); err != nil {
			return nil, fmt.Errorf("setting %s=%s: %w", s.name, s.value, err)
		}
	}
	return &bed{t: t, far: far, grace: grace}, nil
}

func (b *bed) device(line string) string { return devices[b.t.Guest.OS()][line] }

// storm has the guest do something, and waits for its end.
func (b *bed) storm(ctx context.Context, seconds float64, workers ...guest.Worker) (s guest.Storm, err error) {
	args := guest.StormArgs{Seed: b.seed, DurationS: seconds, GraceS: b.grace.Seconds(), Workers: workers}
	err = b.t.Guest.Call(ctx, guest.OpStorm, args, &s)
	return s, err
}

// open is what is open in the guest when it has come to rest: a terminal goes a while
// after its last user has gone.
func (b *bed) open(ctx context.Context, enough func(guest.Open) bool) (o guest.Open, err error) {
	limit := time.NewTimer(min(settling, b.grace))
	defer limit.Stop()
	for {
		if err := b.t.Guest.Call(ctx, guest.OpOpen, struct{}{}, &o); err != nil {
			return o, err
		}
		if enough(o) {
			return o, nil
		}
		select {
		case <-limit.C:
			return o, nil
		case <-time.After(pause):
		case <-ctx.Done():
			return o, ctx.Err()
		}
	}
}

const (
	settling = 5 * time.Second
	pause    = 50 * time.Millisecond
	// silence is how long a line says nothing until what is missing is awaited no longer.
	silence = 5 * time.Second
	// recording is how much of a line is kept, in bytes.
	recording = 32 << 20
	// prober is a writer that no storm has: a terminal may still say what those wrote.
	prober = guest.MaxWriters - 1
)

// listener hears what a line says.
type listener struct {
	name string
	take func() []byte
	stop func() int64
	// silence is how long it may say nothing while something is missing.
	silence time.Duration
	said
}

func (b *bed) listen(line string) (*listener, error) {
	take, stop, err := b.far.Record(line, recording)
	if err != nil {
		return nil, err
	}
	return &listener{name: line, take: take, stop: stop, silence: min(silence, b.grace)}, nil
}

// until hears until done says that all came, or nothing has come for a while.
func (l *listener) until(ctx context.Context, done func(*said) bool) error {
	last := time.Now()
	for {
		p := l.take()
		l.add(p)
		now := time.Now()
		switch {
		case len(p) > 0:
			last = now
		case done(&l.said) || now.Sub(last) > l.silence:
			if lost := l.stop(); lost > 0 {
				return fmt.Errorf("line %s said %d bytes more than are kept", l.name, lost)
			}
			return nil
		}
		select {
		case <-time.After(pause / 5):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// echoes wants n numbered lines of the guest to come out of a line, each whole and in
// order.
func (b *bed) echoes(ctx context.Context, line, path string, n int) error {
	l, err := b.listen(line)
	if err != nil {
		return err
	}
	defer l.stop()
	began := b.t.Guest.Starved()
	s, err := b.storm(ctx, 0, guest.Worker{Kind: guest.Lines, Path: path, Count: n, Writer: prober})
	if err != nil {
		return within(path, err)
	}
	if err := judgeProgress(s.Work, b.t.Guest.Starved()-began, b.grace); err != nil {
		return err
	}
	all := 0
	for k := range n {
		all += len(guest.Line(nil, b.seed, prober, k))
	}
	if err := l.until(ctx, func(s *said) bool { return len(s.writers[prober]) >= all }); err != nil {
		return err
	}
	return named(line, judgeLines(l.writers[prober], b.seed, prober, n))
}

// named says on which line something was found.
func named(line string, err error) error {
	if status, reason := suites.Classify(err); status == suites.Failed {
		return suites.Failf("line %s: %s", line, reason)
	}
	return err
}

// within says where the kernel refused; other errors stay the rig's.
func within(where string, err error) error {
	var refused interface{ KernelRefused() string }
	if errors.As(err, &refused) {
		return suites.Failf("%s: %s", where, refused.KernelRefused())
	}
	return fmt.Errorf("%s: %w", where, err)
}
