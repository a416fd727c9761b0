package suites

import "context"

// Serial is a Guest whose serial lines' far ends are in the host's hands. A line has
// the name of its device: "console", the kernel's own, which is the first UART; "uart",
// the second; "virtio", a port of virtio-serial.
type Serial interface {
	// Lines are the names of those that the machine has, "console" first.
	Lines() []string
	// Type sends bytes to the guest, and returns when all have left the host.
	Type(ctx context.Context, line string, p []byte) error
	// Break sends a break condition; a UART's only.
	Break(ctx context.Context, line string) error
	// Hold takes nothing of what the guest says until release is called: its writers
	// come to stand.
	Hold(line string) (release func(), err error)
	// Record keeps what the line says from now on until stop is called. take gives what
	// came since it was called last; limit is how many bytes can wait for that, and stop
	// tells how many were lost beyond it.
	Record(line string, limit int) (take func() []byte, stop func() (lost int64), err error)
	// Unplug takes a virtio line's device away from the guest, Plug brings it back.
	Unplug(ctx context.Context, line string) error
	Plug(ctx context.Context, line string) error
	// Switch puts another connection behind a line, but for the console, under the
	// guest's hands; what was under way may be lost.
	Switch(ctx context.Context, line string) error
}
