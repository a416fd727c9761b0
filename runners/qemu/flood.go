package qemu

import (
	"fmt"
	"time"

	"github.com/headwatch/headwatch/runners"
)

// flow bounds a stream of bytes: burst at once, rate a second in the long run. Who
// has wanted more than that for longer than patience floods. Without a rate there is
// no bound.
type flow struct {
	rate     int64 // bytes a second
	burst    int64 // bytes
	patience time.Duration

	owed  float64   // bytes above the rate
	at    time.Time // when owed was so
	since time.Time // since when more is owed than the burst; zero: it is not
}

// consoleFlow is far beyond any UART, emulated ones included: a guest that sends more
// has left its own.
var consoleFlow = flow{rate: 8 << 20, burst: 64 << 20, patience: 10 * time.Second}

// take accounts for n bytes at now. It says how long to wait before the next ones,
// and whether that has gone on for too long.
func (f *flow) take(n int, now time.Time) (wait time.Duration, floods bool) {
	if f.rate == 0 {
		return 0, false
	}
	f.owed = max(0, f.owed-now.Sub(f.at).Seconds()*float64(f.rate)) + float64(n)
	f.at = now
	over := f.owed - float64(f.burst)
	if over <= 0 {
		f.since = time.Time{}
		return 0, false
	}
	if f.since.IsZero() {
		f.since = now
	}
	return time.Duration(over / float64(f.rate) * float64(time.Second)), now.Sub(f.since) > f.patience
}

// consoleFlood is the end of a guest whose console says more than anybody could read.
type consoleFlood struct {
	bytes int64
	took  time.Duration
}

// Title is what it is called.
func (*consoleFlood) Title() string { return "console flood" }

func (f *consoleFlood) Error() string {
	return fmt.Sprintf("console flood: %d bytes within %v", f.bytes, f.took.Round(time.Millisecond))
}

// KernelRefused says that the kernel is to blame, whose console it is.
func (f *consoleFlood) KernelRefused() string { return f.Error() }

// floods ends the machine.
func (v *vm) floods(bytes int64, took time.Duration) { v.giveUp(&consoleFlood{bytes, took}) }

// wireFloods ends the machine: it is held to a rate, and has wanted more for
// long.
func (v *vm) wireFloods(nic int, frames int64) {
	v.giveUp(&runners.InfraError{Op: "run qemu", Err: fmt.Errorf("its NIC %d floods the wire: %d frames, more than are passed on", nic, frames)})
}
