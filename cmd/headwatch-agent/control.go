//go:build linux || freebsd

package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

const (
	portName     = "org.headwatch.agent"
	controlArg   = "headwatch.control"
	portWait     = 10 * time.Second
	portInterval = 10 * time.Millisecond
	// backlogPause is how long a terminal must be silent before what came earlier
	// is over; backlogLimit ends the wait for silence. A host that waits for its
	// guest repeats its hello more slowly than the one and forever.
	backlogPause = 50 * time.Millisecond
	backlogLimit = 2 * time.Second
)

// openControl finds and opens the channel to the host: the virtio port with our
// name, else the second UART.
func openControl(ctx context.Context, out console) (control, error) {
	uart := findUART()
	if kernelArgument(controlArg) != "serial" {
		device, err := waitForPort(ctx, findPort)
		if err != nil {
			return control{}, err
		}
		if device != "" {
			port, err := openPort(device)
			if err == nil {
				return control{port, "virtio", device}, nil
			}
			out.say("%v; using %s", err, uart)
		} else {
			out.say("no virtio port %s within %v; using %s", portName, portWait, uart)
		}
	}
	port, err := openTTY(uart)
	if err != nil {
		return control{}, fmt.Errorf("no way to the host: %w", err)
	}
	return control{port, "serial", uart}, nil
}

// waitForPort asks find until it names a device; none within portWait is "". It
// polls because nothing tells: there is no device manager in the guest, and the
// port appears when the driver has talked to the host, some time after its
// module was loaded.
func waitForPort(ctx context.Context, find func() string) (string, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, portWait, errPortWait)
	defer cancel()
	tick := time.NewTicker(portInterval)
	defer tick.Stop()
	for {
		if device := find(); device != "" {
			return device, nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			if context.Cause(ctx) == errPortWait {
				return "", nil
			}
			return "", context.Cause(ctx)
		}
	}
}

var errPortWait = fmt.Errorf("no port within %v", portWait)

// argument finds name=value among the words of a kernel command line; the last
// one counts.
func argument(cmdline, name string) string {
	value := ""
	for word := range strings.FieldsSeq(cmdline) {
		if v, ok := strings.CutPrefix(word, name+"="); ok {
			value = v
		}
	}
	return value
}

// openTTY opens a terminal as a plain stream of bytes at 115200 baud, without
// what arrived before. It does not wait for a carrier.
func openTTY(path string) (*os.File, error) {
	if err := presetRaw(path); err != nil {
		return nil, err
	}
	tty, err := os.OpenFile(path, os.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	raw, err := tty.SyscallConn() // not Fd, which would make the file blocking
	if err == nil {
		var inner error
		err = raw.Control(func(fd uintptr) { inner = makeRaw(int(fd)) })
		if err == nil {
			err = inner
		}
	}
	if err != nil {
		tty.Close()
		return nil, fmt.Errorf("%s: raw mode: %w", path, err)
	}
	skipBacklog(tty)
	return tty, nil
}

// skipBacklog reads away what the host said while the guest booted. A terminal
// keeps little and drops the rest in silence, so there is a gap in it, and a gap
// after the handshake would be damage.
func skipBacklog(tty *os.File) {
	end := time.Now().Add(backlogLimit)
	buf := make([]byte, 4096)
	for now := time.Now(); now.Before(end); now = time.Now() {
		if tty.SetReadDeadline(now.Add(backlogPause)) != nil {
			return // cannot be polled: served as it is
		}
		if _, err := tty.Read(buf); err != nil {
			break // silence; any other error comes again when it is served
		}
	}
	_ = tty.SetReadDeadline(time.Time{})
}

// plain clears everything by which a terminal changes bytes, as cfmakeraw(3)
// does, and the bell that one whose buffer is full sends to the host.
func plain(t *unix.Termios) {
	t.Iflag &^= unix.IGNBRK | unix.BRKINT | unix.PARMRK | unix.ISTRIP | unix.INLCR | unix.IGNCR | unix.ICRNL | unix.IXON | unix.IXOFF | unix.IMAXBEL
	t.Oflag &^= unix.OPOST
	t.Lflag &^= unix.ECHO | unix.ECHONL | unix.ICANON | unix.ISIG | unix.IEXTEN
	t.Cflag &^= unix.CSIZE | unix.PARENB | unix.CRTSCTS | unix.HUPCL
	t.Cflag |= unix.CS8 | unix.CREAD | unix.CLOCAL
	t.Cc[unix.VMIN], t.Cc[unix.VTIME] = 1, 0
}
