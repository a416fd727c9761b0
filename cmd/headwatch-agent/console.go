//go:build linux || freebsd

package main

import (
	"fmt"
	"io"
)

// console is where the agent says what the host cannot be told over the control
// channel. It is the kernel's own voice, so the agent says little.
type console struct{ w io.Writer }

func (c console) say(format string, args ...any) {
	// Nobody is left to tell when the console fails.
	_, _ = fmt.Fprintf(c.w, "headwatch-agent: "+format+"\n", args...)
}
