//go:build linux || freebsd

package renewal

import (
	"bytes"
	"encoding/json"
	"net"
	"strings"
	"testing"
)

const testToken = "0123456789abcdef"

var testMAC = net.HardwareAddr{2, 0, 0, 0, 0, 1}

func TestFrame(t *testing.T) {
	f, err := Frame(testMAC, testToken)
	if err != nil {
		t.Fatal(err)
	}
	if len(f) != minFrame || !bytes.Equal(f[:6], bytes.Repeat([]byte{0xff}, 6)) || !bytes.Equal(f[6:12], testMAC) || f[12] != 0x88 || f[13] != 0xb5 {
		t.Errorf("% x", f)
	}
	other := net.HardwareAddr{2, 0, 0, 0, 0, 2}
	for name, c := range map[string]struct {
		frame []byte
		src   net.HardwareAddr
		token string
		want  bool
	}{
		"itself":         {f, testMAC, testToken, true},
		"padded":         {append(bytes.Clone(f), 0, 0, 0, 0), testMAC, testToken, true},
		"another sender": {f, other, testToken, false},
		"another start":  {f, testMAC, "ffff456789abcdef", false},
		"cut":            {f[:30], testMAC, testToken, false},
		"nothing":        {nil, testMAC, testToken, false},
		"no token":       {f, testMAC, "x", false},
	} {
		if got := IsFrame(c.frame, c.src, c.token); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestBadRequests(t *testing.T) {
	good := func() Renew { return Renew{Time: 1, Seed: make([]byte, SeedSize), Token: testToken} }
	if r := good(); r.check() != nil {
		t.Error(r.check())
	}
	for want, change := range map[string]func(*Renew){
		"seed of 3 bytes":      func(r *Renew) { r.Seed = make([]byte, 3) },
		"no time":              func(r *Renew) { r.Time = 0 },
		"65 NICs":              func(r *Renew) { r.NICs = make([]NIC, 65) },
		`token "": want 8`:     func(r *Renew) { r.Token = "" },
		`token "zz": want 8`:   func(r *Renew) { r.Token = "zz" },
		`token "abcd": want 8`: func(r *Renew) { r.Token = "abcd" },
	} {
		r := good()
		change(&r)
		if err := r.check(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

// The operations refuse what makes no sense before they touch the system.
func TestOperationsRefuse(t *testing.T) {
	ops := Operations()
	for _, name := range []string{OpSettle, OpRenew, OpAnnounce} {
		for _, args := range []string{`"x"`, `{"token":"x"}`, `{}`} {
			if _, err := ops[name](t.Context(), json.RawMessage(args)); err == nil {
				t.Errorf("%s accepts %s", name, args)
			}
		}
	}
}

func TestAnnounceNamesAMissingInterface(t *testing.T) {
	args, err := json.Marshal(Announce{NICs: []NIC{{MAC: testMAC.String()}, {MAC: "02:00:5e:00:53:ff", Announce: true}}, Token: testToken})
	if err != nil {
		t.Fatal(err)
	}
	answer, err := Operations()[OpAnnounce](t.Context(), args)
	if err != nil {
		t.Fatal(err)
	}
	got := answer.(Settled).Problems
	if len(got) != 2 || got[0] != "" || !strings.Contains(got[1], "no interface has the address 02:00:5e:00:53:ff") {
		t.Errorf("%q", got)
	}
}
