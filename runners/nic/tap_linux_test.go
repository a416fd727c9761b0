package nic

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// experimental is an EtherType for experiments (IEEE 802, local experimental 1), by
// which a test knows its frames from what a kernel says by itself.
const experimental = 0x88b5

func testFrame(text string) []byte {
	f := append([]byte{0x52, 0x54, 0, 0, 0, 2, 0x52, 0x54, 0, 0, 0, 1}, 0, 0)
	binary.BigEndian.PutUint16(f[12:], experimental)
	f = append(f, text...)
	return append(f, make([]byte, max(0, 60-len(f)))...)
}

// hear waits for a frame of this test, and not for ever.
func hear(t *testing.T, f Frames) string {
	t.Helper()
	giveUp := time.AfterFunc(20*time.Second, func() { f.Close() })
	defer giveUp.Stop()
	buf := make([]byte, maxFrame)
	for {
		n, err := f.ReadFrame(buf)
		if err != nil {
			t.Fatal(err)
		}
		if n >= 14 && binary.BigEndian.Uint16(buf[12:]) == experimental {
			return string(bytes.TrimRight(buf[14:n], "\x00"))
		}
	}
}

// needTap opens a tap, or skips the test with the reason.
func needTap(t *testing.T, n NIC) *OpenedTap {
	t.Helper()
	tap, err := System{}.OpenTap(n)
	if err != nil && (errors.Is(err, os.ErrPermission) || errors.Is(err, os.ErrNotExist) || errors.Is(err, unix.ENODEV)) {
		t.Skipf("no taps here: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := tap.Close(); err != nil {
			t.Error(err)
		}
	})
	return tap
}

func TestTapOfAPrivateNamespace(t *testing.T) {
	before := interfaceNames(t)
	tap := needTap(t, NIC{Model: "virtio-net", Link: Tap, MTU: 9000, Queues: 2})
	if len(tap.Queues) != 2 || tap.Far == nil || len(tap.Vhost) != 0 && len(tap.Vhost) != 2 {
		t.Errorf("tap: %+v", tap)
	}
	if now := interfaceNames(t); now != before {
		t.Errorf("the host's interfaces were %s and are %s", before, now)
	}
	// What QEMU would do with its descriptor. A frame longer than the MTU is lost.
	if err := tap.Far.WriteFrame(make([]byte, 9000+overhead+1)); err != nil {
		t.Error(err)
	}
	long := strings.Repeat("x", 8000)
	if err := tap.Far.WriteFrame(testFrame(long)); err != nil {
		t.Fatal(err)
	}
	got := ""
	buf := make([]byte, maxFrame)
	for _, q := range tap.Queues { // which one is the kernel's choice
		q.SetReadDeadline(time.Now().Add(time.Second))
		if n, err := q.Read(buf); err == nil {
			got = string(buf[14:n])
			break
		}
	}
	if got != long {
		t.Errorf("the guest hears %d bytes, want %d", len(got), len(long))
	}
	if _, err := tap.Queues[0].Write(testFrame("from the guest")); err != nil {
		t.Fatal(err)
	}
	if got := hear(t, tap.Far); got != "from the guest" {
		t.Errorf("the harness hears %q", got)
	}
}

func interfaceNames(t *testing.T) string {
	t.Helper()
	list, err := net.Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, i := range list {
		names = append(names, i.Name)
	}
	return strings.Join(names, " ")
}

// ip runs ip(8), or skips the test with the reason.
func ip(t *testing.T, args ...string) {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "ip", args...).CombinedOutput()
	if err != nil {
		t.Skipf("ip %s: %v: %s", strings.Join(args, " "), err, out)
	}
}

func TestTapOnABridge(t *testing.T) {
	name := fmt.Sprintf("hwbr%d", os.Getpid()%100000)
	ip(t, "link", "add", name, "type", "bridge")
	defer exec.Command("ip", "link", "del", name).Run()
	tap := needTap(t, NIC{Model: "virtio-net", Link: Tap, Bridge: name})
	if got := linkName("/sys/class/net/" + tap.Name + "/master"); got != name {
		t.Errorf("%s is part of %q, want %s", tap.Name, got, name)
	}
	if tap.Far != nil {
		t.Error("a bridge's tap has the harness at its other end")
	}
	if err := tap.Close(); err != nil {
		t.Error(err)
	}
	if _, err := net.InterfaceByName(tap.Name); err == nil {
		t.Errorf("%s outlives its descriptors", tap.Name)
	}
	if _, err := (System{}).OpenTap(NIC{Model: "virtio-net", Link: Tap, Bridge: "lo"}); err == nil || !strings.Contains(err.Error(), "lo is no bridge") {
		t.Errorf("tap on lo: %v", err)
	}
}

// tapToWire has the real QEMU carry frames between a tap and a wire, both given as
// descriptors, as a user without privileges: what a guest's device does with its
// link, without a guest. It returns the wire's end.
func tapToWire(t *testing.T, tap *OpenedTap) net.Conn {
	t.Helper()
	ours, theirs, err := SocketPair()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ours.Close() })
	file, err := theirs.(*net.UnixConn).File()
	if err != nil {
		t.Fatal(err)
	}
	theirs.Close()
	defer file.Close()
	netdevs := NIC{Model: "virtio-net", Link: Tap}.Args(0, Ends{Tap: []int{3}})[:2]
	netdevs = append(netdevs, NIC{Model: "virtio-net", Link: Wire}.Args(1, Ends{Wire: 4})[:2]...)
	argv := append([]string{"-nodefaults", "-machine", "none", "-display", "none"}, netdevs...)
	argv = append(argv, "-netdev", "hubport,id=a,hubid=0,netdev=net0", "-netdev", "hubport,id=b,hubid=0,netdev=net1")
	cmd := exec.Command(qemuBinary, argv...)
	cmd.ExtraFiles = []*os.File{tap.Queues[0], file}
	cmd.Stderr = t.Output()
	if os.Getuid() == 0 {
		cmd.Dir = "/"
		cmd.SysProcAttr = unprivileged()
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	// QEMU connects its stream as it starts, and drops what the tap has for it
	// before: only when a frame came through is it ready.
	if err := Stream(ours).WriteFrame(testFrame("ready")); err != nil {
		t.Fatal(err)
	}
	if got := hear(t, tap.Far); got != "ready" {
		t.Errorf("heard %q", got)
	}
	return ours
}

func TestTapByQEMU(t *testing.T) {
	needQEMU(t)
	tap := needTap(t, NIC{Model: "virtio-net", Link: Tap})
	exchange(t, tap.Far, Stream(tapToWire(t, tap)))
}

// TestTwoMachinesByQEMU joins the wires of two QEMUs.
func TestTwoMachinesByQEMU(t *testing.T) {
	needQEMU(t)
	one := needTap(t, NIC{Model: "virtio-net", Link: Tap})
	two := needTap(t, NIC{Model: "virtio-net", Link: Tap})
	c := Join(Stream(tapToWire(t, one)), Stream(tapToWire(t, two)), Limits{})
	exchange(t, one.Far, two.Far)
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	for side := range 2 {
		if n := c.Counters(side); n.Frames == 0 || n.Dropped != 0 {
			t.Errorf("side %d: %+v", side, n)
		}
	}
}

// exchange sends a frame each way.
func exchange(t *testing.T, a, b Frames) {
	t.Helper()
	for i, way := range []struct{ from, to Frames }{{a, b}, {b, a}} {
		want := fmt.Sprintf("the frame of way %d", i)
		if err := way.from.WriteFrame(testFrame(want)); err != nil {
			t.Fatal(err)
		}
		if got := hear(t, way.to); got != want {
			t.Errorf("heard %q, want %q", got, want)
		}
	}
}
