package console

import (
	"context"
	"math/rand/v2"
	"time"
)

const (
	longestHold = 300 * time.Millisecond
	flood       = 4 << 10 // bytes typed at once
	// typed has nothing that a terminal takes for a command, such as to stop, and nothing
	// that it could echo among what writers say.
	typed = "0123456789 abcdefghijklmnopqrstuvwxyz\r"
)

// disturb does things to the far ends of the lines, one after the other, until the
// context ends, and leaves them as they were. unplugs says that the virtio line's device
// goes away, too.
func disturb(unplugs bool) func(ctx context.Context, b *bed) error {
	return func(ctx context.Context, b *bed) error {
		r := rand.New(rand.NewPCG(b.seed, 7))
		for ctx.Err() == nil {
			if err := b.once(ctx, r, unplugs); err != nil && ctx.Err() == nil {
				return err
			}
			select {
			case <-time.After(time.Duration(r.IntN(30)) * time.Millisecond):
			case <-ctx.Done():
			}
		}
		return nil
	}
}

func (b *bed) once(ctx context.Context, r *rand.Rand, unplugs bool) error {
	what := r.IntN(6)
	line := []string{"uart", "virtio"}[r.IntN(2)]
	b.t.Metrics["disturbances"]++
	// What has begun is brought to its end, or a line would stay between two connections.
	whole, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
	defer cancel()
	switch what {
	case 0, 1:
		text := make([]byte, 1+r.IntN(flood))
		for i := range text {
			text[i] = typed[r.IntN(len(typed))]
		}
		// A guest that takes nothing in must not keep the host.
		limited, done := context.WithTimeout(ctx, longestHold)
		defer done()
		if err := b.far.Type(limited, line, text); err != nil && limited.Err() == nil {
			return err
		}
		return nil
	case 2:
		return b.far.Break(whole, "uart")
	case 3:
		return b.hold(ctx, r, line)
	case 4:
		return b.far.Switch(whole, line)
	}
	if !unplugs {
		return nil
	}
	return b.replug(ctx, whole, r)
}

// hold lets a line's writers come to stand for a while.
func (b *bed) hold(ctx context.Context, r *rand.Rand, line string) error {
	if b.t.Guest.OS() == "linux" {
		line = "uart" // its kernel spins for a virtio port that nobody drains
	}
	release, err := b.far.Hold(line)
	if err != nil {
		return err
	}
	defer release()
	select {
	case <-time.After(time.Duration(r.Int64N(int64(longestHold)))):
	case <-ctx.Done():
	}
	return nil
}

// patience is how long QEMU and the guest may take to let a device go: the guest has to
// agree.
const patience = 30 * time.Second

// replug takes the virtio line's device away and brings it back, also when the context
// ends meanwhile.
func (b *bed) replug(ctx, whole context.Context, r *rand.Rand) error {
	if err := b.far.Unplug(whole, "virtio"); err != nil {
		return err
	}
	select {
	case <-time.After(time.Duration(r.IntN(50)) * time.Millisecond):
	case <-ctx.Done():
	}
	return b.far.Plug(whole, "virtio")
}
