package tcp

import (
	"testing"
	"time"

	"github.com/headwatch/headwatch/suites"
	"github.com/headwatch/headwatch/suites/wire"
)

func TestJudgeFastOpen(t *testing.T) {
	for _, c := range []struct {
		name string
		err  error
		want string
	}{
		{"a cookie", judgeCookie(make([]byte, 8)), ""},
		{"none", judgeCookie(nil), "the SYN|ACK has none"},
		{"a long one", judgeCookie(make([]byte, 18)), "a cookie of 18 bytes came, want 4 to 16, and an even number"},
		{"taken", judgeTaken(closingISN+1+tfoBytes, true), ""},
		{"not taken", judgeTaken(closingISN+1, true), "the SYN|ACK acknowledges 0 bytes of data, want 100: the cookie is right"},
		{"left", judgeTaken(closingISN+1, false), ""},
		{"taken with a forged cookie", judgeTaken(closingISN+1+tfoBytes, false), "the SYN|ACK acknowledges 100 bytes of data, and the cookie does not allow any"},
		{"a part", judgeTaken(wire.Seq(closingISN)+1+50, true), "the SYN|ACK acknowledges 50 bytes of data, want 100: the cookie is right"},
	} {
		if _, reason := suites.Classify(c.err); reason != c.want {
			t.Errorf("%s: %q, want %q", c.name, reason, c.want)
		}
	}
}

// A stack that opens without cookies: gVisor's has none.
func TestFastOpenWithoutCookies(t *testing.T) {
	status, reason, _ := runCase(t, newStackGuest(t), "f08_tfo_v4", 20*time.Second, nil)
	if status != suites.Failed || reason != "NIC 0 (net0): a cookie is asked for: the SYN|ACK has none" {
		t.Errorf("%v: %s", status, reason)
	}
}
