package tcp

import (
	"context"
	"regexp"
	"testing"
	"time"

	"github.com/headwatch/headwatch/suites"
	"github.com/headwatch/headwatch/suites/tcp/guest"
)

// halfCloser is a connection of the fake guest.
type halfCloser interface {
	CloseWrite() error
	Close() error
}

// shuts has a guest half-close by do.
func (g *stackGuest) shuts(do func(halfCloser) error) {
	g.calls[guest.OpShut] = func(_ context.Context, args, _ any) error {
		return do(g.conn(args.(guest.IDArgs).ID).(halfCloser))
	}
}

// What F08 says of guests, of which some close as they should not.
func TestClosings(t *testing.T) {
	for _, c := range []struct {
		name   string
		spoil  func(g *stackGuest)
		status suites.Status
		reason string // a pattern
	}{
		{"all is well", func(*stackGuest) {}, suites.Passed, `^$`},
		{"it closes where it should half-close", func(g *stackGuest) {
			g.shuts(halfCloser.Close)
		}, suites.Failed, `: the guest half-closes: the guest reset the connection`},
		{"the program is never told of the end", func(g *stackGuest) {
			g.calls[guest.OpReceive] = func(ctx context.Context, args, result any) error {
				err := g.agent(ctx, guest.OpReceive, args, result)
				result.(*guest.Moved).Ended = false
				return err
			}
		}, suites.Failed, `: both close at once: receive: the program was not told that the peer has ended its stream`},
		{"what comes behind a gap is forgotten", func(g *stackGuest) {
			g.calls[guest.OpReceive] = func(ctx context.Context, args, result any) error {
				err := g.agent(ctx, guest.OpReceive, args, result)
				if m := result.(*guest.Moved); m.Bytes == closingBytes {
					m.Bytes -= closingBytes / 3
				}
				return err
			}
		}, suites.Failed, `: the guest half-closes: receive: 2000 bytes, want 3000`},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := newStackGuest(t)
			g.shuts(halfCloser.CloseWrite)
			c.spoil(g)
			status, reason, _ := runCase(t, g, "f08_v4", 20*time.Second, nil)
			if status != c.status || !regexp.MustCompile(c.reason).MatchString(reason) {
				t.Errorf("%v: %s", status, reason)
			}
		})
	}
}
