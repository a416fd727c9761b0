package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/headwatch/headwatch/runners/guest"
)

// talk is what the guest does on the network, with the kernel's own TCP/IP.
var talk = map[string]guest.Operation{
	// Writes a text to a terminal, so many times.
	"test/write": func(_ context.Context, args json.RawMessage) (any, error) {
		var a struct {
			Path, Text string
			Times      int
		}
		if err := json.Unmarshal(args, &a); err != nil {
			return nil, err
		}
		f, err := os.OpenFile(a.Path, os.O_WRONLY|unix.O_NOCTTY, 0)
		if err != nil {
			return nil, err
		}
		_, err = f.WriteString(strings.Repeat(a.Text, a.Times))
		return nil, errors.Join(err, f.Close())
	},
	// Reads a line of a terminal.
	"test/readline": func(_ context.Context, args json.RawMessage) (any, error) {
		var path string
		if err := json.Unmarshal(args, &path); err != nil {
			return nil, err
		}
		f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOCTTY, 0)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		return bufio.NewReader(f).ReadString('\n')
	},
	// Takes one connection and says its line again.
	"test/serve": func(ctx context.Context, args json.RawMessage) (any, error) {
		var address string
		if err := json.Unmarshal(args, &address); err != nil {
			return nil, err
		}
		var config net.ListenConfig
		l, err := config.Listen(ctx, "tcp", address)
		if err != nil {
			return nil, err
		}
		defer l.Close()
		defer context.AfterFunc(ctx, func() { l.Close() })()
		c, err := l.Accept()
		if err != nil {
			return nil, err
		}
		defer c.Close()
		defer context.AfterFunc(ctx, func() { c.Close() })()
		line, err := bufio.NewReader(c).ReadString('\n')
		if err != nil {
			return nil, err
		}
		_, err = fmt.Fprintf(c, "heard %s", line)
		return nil, err
	},
	// Says a line to whom test/serve made listen, as soon as it does, and returns the
	// answer.
	"test/ask": func(ctx context.Context, args json.RawMessage) (any, error) {
		var ask struct{ Address, Text string }
		if err := json.Unmarshal(args, &ask); err != nil {
			return nil, err
		}
		c, err := dial(ctx, ask.Address)
		if err != nil {
			return nil, err
		}
		defer c.Close()
		defer context.AfterFunc(ctx, func() { c.Close() })()
		if _, err := fmt.Fprintln(c, ask.Text); err != nil {
			return nil, err
		}
		line, err := bufio.NewReader(c).ReadString('\n')
		return strings.TrimSpace(line), err
	},
	// Has the kernel look for the station of an address, and says whose it is.
	"test/resolve": func(ctx context.Context, args json.RawMessage) (any, error) {
		var address string
		if err := json.Unmarshal(args, &address); err != nil {
			return nil, err
		}
		c, err := net.Dial("udp", net.JoinHostPort(address, "9"))
		if err != nil {
			return nil, err
		}
		defer c.Close()
		for {
			if _, err := c.Write([]byte("hello")); err != nil {
				return nil, err
			}
			if mac := neighbour(address); mac != "" {
				return mac, nil
			}
			if err := pause(ctx); err != nil {
				return nil, err
			}
		}
	},
}

func dial(ctx context.Context, address string) (net.Conn, error) {
	for {
		var d net.Dialer
		c, err := d.DialContext(ctx, "tcp", address)
		if err == nil || ctx.Err() != nil {
			return c, err
		}
		if err := pause(ctx); err != nil {
			return nil, err
		}
	}
}

func pause(ctx context.Context) error {
	select {
	case <-time.After(50 * time.Millisecond):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// neighbour is the station of an address in the kernel's table (proc(5), net/arp);
// empty: it is not known.
func neighbour(address string) string {
	table, err := os.ReadFile("/proc/net/arp")
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(table)) {
		f := strings.Fields(line)
		if len(f) > 3 && f[0] == address && f[2] == "0x2" {
			return f[3]
		}
	}
	return ""
}
