package tcp

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/headwatch/headwatch/suites"
	"github.com/headwatch/headwatch/suites/tcp/guest"
)

func TestHalfOpenLimit(t *testing.T) {
	for _, c := range []struct {
		os   string
		open int64
		want string
	}{
		{"linux", 256, ""}, {"linux", 2999, "2999 connections are half open, the limit is 272"},
		{"freebsd", 15360, ""}, {"freebsd", 15361, "15361 connections are half open, the limit is 15360"},
	} {
		if _, reason := suites.Classify(synLimits[c.os].judge(c.open)); reason != c.want {
			t.Errorf("%s, %d: %q, want %q", c.os, c.open, reason, c.want)
		}
	}
}

// A guest that drops what stands when SYNs come.
func TestAFloodThatEndsWhatStands(t *testing.T) {
	g := newStackGuest(t)
	g.calls[guest.OpReceive] = func(ctx context.Context, args, result any) error {
		var b [1]byte
		c := g.conn(args.(guest.ReceiveArgs).ID)
		if _, err := c.Read(b[:]); err != nil {
			return err
		}
		result.(*guest.Moved).Bytes = 1
		if g.settings["net.ipv4.tcp_syncookies"] == "0" {
			result.(*guest.Moved).Errno = "ECONNRESET"
		}
		return nil
	}
	status, reason, _ := runCase(t, g, "l04_v4", 20*time.Second, nil)
	if status != suites.Failed || !strings.Contains(reason, "before the flood: receive: ECONNRESET after 1 of 1 bytes") {
		t.Errorf("%v: %s", status, reason)
	}
}
