package nic

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// unprivileged is nobody.
func unprivileged() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
}

// cablePair makes two interfaces joined by a cable.
func cablePair(t *testing.T) (a, b string) {
	t.Helper()
	a, b = fmt.Sprintf("hwa%d", os.Getpid()%100000), fmt.Sprintf("hwb%d", os.Getpid()%100000)
	ip(t, "link", "add", a, "type", "veth", "peer", "name", b)
	t.Cleanup(func() { exec.Command("ip", "link", "del", a).Run() })
	return a, b
}

func TestPort(t *testing.T) {
	near, far := cablePair(t)
	var p System
	port, err := p.OpenPort(near, 9000)
	if err != nil {
		t.Fatal(err)
	}
	defer port.Close()
	if _, err := net.InterfaceByName(near); err == nil {
		t.Errorf("the host still has %s", near)
	}
	if up, err := port.Carrier(); up || err != nil {
		t.Errorf("carrier %v, %v before the other end is up", up, err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 3*carrierPoll)
	defer cancel()
	if err := port.AwaitCarrier(ctx); err == nil || !strings.Contains(err.Error(), "is the cable plugged in") {
		t.Errorf("waiting for the carrier: %v", err)
	}
	other, err := p.OpenPort(far, 9000)
	if err != nil {
		t.Fatal(err)
	}
	if err := port.AwaitCarrier(t.Context()); err != nil {
		t.Error(err)
	}
	// A wire to each end: real hardware is held as any other link is.
	a, err := Attach(port, Limits{})
	if err != nil {
		t.Fatal(err)
	}
	b, err := Attach(other, Limits{})
	if err != nil {
		t.Fatal(err)
	}
	long := strings.Repeat("y", 8900)
	for _, way := range []struct{ from, to net.Conn }{{a, b}, {b, a}} {
		if err := Stream(way.from).WriteFrame(testFrame(long)); err != nil {
			t.Fatal(err)
		}
		way.to.SetReadDeadline(time.Now().Add(5 * time.Second))
		if got := hear(t, Stream(way.to)); got != long {
			t.Errorf("heard %d bytes, want %d", len(got), len(long))
		}
	}
	for _, end := range []*Attached{a, b} {
		if err := end.Close(); err != nil {
			t.Error(err)
		}
	}
	for _, name := range []string{near, far} {
		i, err := net.InterfaceByName(name)
		if err != nil {
			t.Fatalf("%s was not given back: %v", name, err)
		}
		if i.MTU != 1500 || i.Flags&net.FlagUp != 0 {
			t.Errorf("%s came back with MTU %d and flags %v", name, i.MTU, i.Flags)
		}
	}
}

func TestPortsThatAreNone(t *testing.T) {
	near, _ := cablePair(t)
	bridge := fmt.Sprintf("hwpb%d", os.Getpid()%100000)
	ip(t, "link", "add", bridge, "type", "bridge")
	defer exec.Command("ip", "link", "del", bridge).Run()
	ip(t, "link", "set", near, "master", bridge)
	for name, want := range map[string]string{
		"hw-none": "port hw-none: no such interface on this host",
		"lo":      "port lo: not an Ethernet interface",
		near:      near + " is part of " + bridge,
	} {
		if _, err := (System{}).OpenPort(name, 0); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want %q", name, err, want)
		}
	}
	ip(t, "link", "set", near, "nomaster")
	if _, err := (System{}).OpenPort(near, 70000); err == nil || !strings.Contains(err.Error(), "takes no MTU of 70000") {
		t.Errorf("an MTU that no veth takes: %v", err)
	}
	if _, err := net.InterfaceByName(near); err != nil {
		t.Errorf("after a failure: %v", err)
	}
}

func TestTryLinks(t *testing.T) {
	candidates, err := System{}.Candidates()
	if err != nil {
		t.Fatal(err)
	}
	links := System{}.TryLinks(candidates)
	if len(links) != len(Links()) {
		t.Errorf("links: %+v", links)
	}
	for _, l := range links {
		if l.Problem != "" && (l.Link == Wire || l.Link == User) {
			t.Errorf("%s: %s", l.Link, l.Problem)
		}
		t.Logf("%+v", l)
	}
}
