package tcp

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/headwatch/headwatch/suites"
	"github.com/headwatch/headwatch/suites/tcp/guest"
	"github.com/headwatch/headwatch/suites/wire/capture"
)

func TestSuiteIsWellFormed(t *testing.T) {
	names := map[string]bool{}
	for _, c := range Suite().Cases {
		if names[c.Name] || !regexp.MustCompile(`^[a-z0-9_]+_v[46]$`).MatchString(c.Name) {
			t.Errorf("name %q", c.Name)
		}
		names[c.Name] = true
		if c.Layer < suites.Smoke || c.Summary == "" || c.Run == nil || c.Timeout <= 0 || len(c.Requires) != 1 || c.Requires[0] != "wire" {
			t.Errorf("%+v", c)
		}
		if c.Layer == suites.Smoke && c.Timeout > time.Minute {
			t.Errorf("%s may take %v", c.Name, c.Timeout)
		}
	}
	for _, name := range []string{"f01_v4", "f01_v6", "r01_sack_v4", "r01_plain_v6", "l01_v4", "p01_v4", "p01_v6"} {
		if !names[name] {
			t.Errorf("no case %s", name)
		}
	}
}

// The cases' own logic, with another stack for a guest.
func TestCasesOnAnotherStack(t *testing.T) {
	for _, name := range []string{"f01_v4", "f01_v6"} {
		t.Run(name, func(t *testing.T) {
			status, reason, c := runCase(t, newStackGuest(t), name, 30*time.Second, nil)
			if status != suites.Passed {
				t.Errorf("%v: %s", status, reason)
			}
			if c.Metrics["active_s"] <= 0 || c.Metrics["passive_s"] <= 0 {
				t.Errorf("metrics %v", c.Metrics)
			}
		})
	}
}

// lastByte is what a guest sends whose kernel changes a byte.
func lastByte(g *stackGuest) {
	g.calls[guest.OpSend] = func(ctx context.Context, args, result any) error {
		a := args.(guest.SendArgs)
		a.Seed++
		return g.agent(ctx, guest.OpSend, a, result)
	}
}

func TestWrongBytesAreFailures(t *testing.T) {
	g := newStackGuest(t)
	lastByte(g)
	kept := map[string]*bytes.Buffer{}
	status, reason, _ := runCase(t, g, "f01_v4", 30*time.Second, func(c *suites.T) {
		c.Keep = func(name, mediaType string) (io.WriteCloser, error) {
			kept[name] = &bytes.Buffer{}
			return nopCloser{kept[name]}, nil
		}
	})
	if status != suites.Failed || !strings.HasPrefix(reason, "NIC 0 (net0): active: the guest's 1048576 bytes came as others") || !strings.Contains(reason, "wrong-content") {
		t.Errorf("%v: %s", status, reason)
	}
	file := kept["nic0.pcapng"]
	if file == nil {
		t.Fatalf("kept %v", kept)
	}
	trace, err := capture.Read(file)
	if err != nil || len(trace.Events) < 1000 {
		t.Errorf("a capture of %d events: %v", len(trace.Events), err)
	}
}

type nopCloser struct{ io.Writer }

func (nopCloser) Close() error { return nil }

func TestNothingThatCannotBeKeptHidesWhatHappened(t *testing.T) {
	g := newStackGuest(t)
	lastByte(g)
	status, reason, _ := runCase(t, g, "f01_v4", 30*time.Second, func(c *suites.T) {
		c.Keep = func(string, string) (io.WriteCloser, error) { return nil, errors.New("disk is full") }
	})
	if status != suites.Failed || !strings.Contains(reason, "came as others") {
		t.Errorf("%v: %s", status, reason)
	}
}

func TestBadGuests(t *testing.T) {
	for _, c := range []struct {
		name   string
		spoil  func(g *stackGuest)
		status suites.Status
		reason string // a pattern
	}{
		{"no wire", func(g *stackGuest) { g.wire.Close(); g.wire = nil }, suites.Skipped, `^needs a NIC on a wire, the machine has none$`},
		{"wire ends in the middle of a frame", func(g *stackGuest) {
			g.spoilWire(append(make([]byte, 3), 100, 1, 2, 3))
		}, suites.Broken, `^NIC 0( \(net0\))?: .*(the guest's end of the wire is gone|not a stream of frames)`},
		{"wire is closed", func(g *stackGuest) { g.spoilWire(nil) }, suites.Broken, `the guest's end of the wire is gone`},
		{"an answer that comes too late", func(g *stackGuest) {
			g.calls[guest.OpConnect] = func(ctx context.Context, _, _ any) error { <-ctx.Done(); return ctx.Err() }
		}, suites.Broken, `^NIC 0 \(net0\): active: (connect|the peer accepts): context deadline exceeded$`},
		{"one socket for two connections", func(g *stackGuest) {
			once := 0
			twice := func(op string) func(context.Context, any, any) error {
				return func(ctx context.Context, args, result any) error {
					if err := g.agent(ctx, op, args, result); err != nil {
						return err
					}
					s := result.(*guest.Socket)
					if once == 0 {
						once = s.ID
					}
					s.ID = once
					return nil
				}
			}
			g.calls[guest.OpConnect], g.calls[guest.OpAccept] = twice(guest.OpConnect), twice(guest.OpAccept)
		}, suites.Broken, `passive: accept: the agent gave socket 1 for two connections$`},
		{"another connection's socket", func(g *stackGuest) {
			g.calls[guest.OpConnect] = func(ctx context.Context, args, result any) error {
				err := g.agent(ctx, guest.OpConnect, args, result)
				result.(*guest.Socket).Remote = "10.77.0.9:1"
				return err
			}
		}, suites.Broken, `active: connect: the agent's socket 1 leads to "10.77.0.9:1", this connection's peer is 10.77.0.1:5001$`},
		{"no such interface", func(g *stackGuest) {
			g.calls["kernel/interfaces"] = func(context.Context, any, any) error { return nil }
		}, suites.Failed, `^NIC 0: the guest has no interface with the address 02:77:00:00:00:02: its driver did not find the NIC$`},
		{"a setting that does not stay", func(g *stackGuest) {
			g.calls["kernel/sysctl_set"] = func(context.Context, any, any) error { return nil }
		}, suites.Broken, `setting net.ipv4.tcp_congestion_control=reno: it reads back as ""$`},
		{"the kernel refuses a connection", func(g *stackGuest) {
			g.calls[guest.OpConnect] = func(_ context.Context, _, result any) error {
				*result.(*guest.Socket) = guest.Socket{Errno: "ENOBUFS"}
				return nil
			}
		}, suites.Failed, `^NIC 0 \(net0\): active: connect: ENOBUFS after 0.000 s$`},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := newStackGuest(t)
			c.spoil(g)
			status, reason, _ := runCase(t, g, "f01_v4", 3*time.Second, nil)
			if status != c.status || !regexp.MustCompile(c.reason).MatchString(reason) {
				t.Errorf("%v: %s", status, reason)
			}
		})
	}
}

// spoilWire gives the guest a wire that says these bytes and ends.
func (g *stackGuest) spoilWire(bytes []byte) {
	g.wire.Close()
	host, guest := net.Pipe()
	g.wire = host
	go func() {
		guest.Write(bytes)
		guest.Close()
	}()
}
