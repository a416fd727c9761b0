//go:build linux || freebsd

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/headwatch/headwatch/runners/guest"
	kyua "github.com/headwatch/headwatch/suites/kyua/guest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestParseConfig(t *testing.T) {
	got, err := parseConfig([]byte(`{"modules":["/lib/a.ko"],"sysctls":[["net.ipv4.tcp_sack","0"],["net/ipv4/conf/eth0.1/forwarding","1"]]}`))
	want := config{Modules: []string{"/lib/a.ko"}, Sysctls: [][2]string{{"net.ipv4.tcp_sack", "0"}, {"net/ipv4/conf/eth0.1/forwarding", "1"}}}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("%v\n%s", err, diff)
	}
	for text, want := range map[string]string{
		``:                                    "EOF",
		`{"modules":["a.ko"]}`:                `modules[0]: "a.ko" is not an absolute path`,
		`{"sysctls":[["a","1"],["b c","1"]]}`: `sysctls[1]: "b c" is not a name, as in net.ipv4.tcp_sack`,
		`{"sysctls":[["../../etc/x","1"]]}`:   `sysctls[0]: "../../etc/x" is not a name, as in net.ipv4.tcp_sack`,
		`{"sysctls":[["a/../../x","1"]]}`:     `sysctls[0]: "a/../../x" is not a name, as in net.ipv4.tcp_sack`,
		`{"module":[]}`:                       `json: unknown field "module"`,
		`{} {}`:                               "more than one JSON document",
	} {
		if _, err := parseConfig([]byte(text)); err == nil || err.Error() != want {
			t.Errorf("%s: %v, want %s", text, err, want)
		}
	}
}

func TestReadConfig(t *testing.T) {
	dir := t.TempDir()
	if c, err := readConfig(filepath.Join(dir, "none")); err != nil || c.Modules != nil {
		t.Errorf("no file: %+v, %v", c, err)
	}
	path := filepath.Join(dir, "bad.json")
	if err := os.WriteFile(path, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := readConfig(path); err == nil || !strings.HasPrefix(err.Error(), path+": ") {
		t.Errorf("bad file: %v", err)
	}
}

func TestArgument(t *testing.T) {
	for cmdline, want := range map[string]string{
		"": "", "console=ttyS0 quiet": "", "headwatch.control=serial\n": "serial",
		"headwatch.control=serial headwatch.control=virtio": "virtio",
		"xheadwatch.control=serial":                         "", "headwatch.control": "",
	} {
		if got := argument(cmdline, controlArg); got != want {
			t.Errorf("%q: %q, want %q", cmdline, got, want)
		}
	}
}

func TestWaitForPort(t *testing.T) {
	looks := 0
	find := func() string {
		if looks++; looks < 3 {
			return ""
		}
		return "/dev/vport0p1"
	}
	if device, err := waitForPort(t.Context(), find); device != "/dev/vport0p1" || err != nil {
		t.Errorf("%q, %v", device, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := waitForPort(ctx, func() string { return "" }); !errors.Is(err, context.Canceled) {
		t.Errorf("stopped: %v", err)
	}
}

// hosts is a port at which several hosts turn up, one after the other, with
// times in between when there is none and the port reads as end-of-file.
type hosts struct {
	coming <-chan net.Conn

	mu   sync.Mutex
	conn net.Conn // nil: no host
}

func (h *hosts) host() net.Conn {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.conn == nil {
		select {
		case h.conn = <-h.coming:
		default:
		}
	}
	return h.conn
}

func (h *hosts) Read(b []byte) (int, error) {
	conn := h.host()
	if conn == nil {
		return 0, io.EOF
	}
	n, err := conn.Read(b)
	if errors.Is(err, io.EOF) {
		conn.Close()
		h.mu.Lock()
		h.conn = nil
		h.mu.Unlock()
	}
	return n, err
}

// Write without a host goes nowhere, as on a port that nobody reads.
func (h *hosts) Write(b []byte) (int, error) {
	if conn := h.host(); conn != nil {
		return conn.Write(b)
	}
	return len(b), nil
}

func (h *hosts) Close() error { return nil }

func (h *hosts) SetDeadline(t time.Time) error {
	if conn := h.host(); conn != nil {
		return conn.SetDeadline(t)
	}
	return nil
}

// The agent serves one host after the other; the last one powers off, and the
// kernel refuses.
func TestServeHostAfterHost(t *testing.T) {
	coming := make(chan net.Conn, 1)
	var said bytes.Buffer
	var steps []string
	s := setup{Modules: []step{{"/m/a.ko", "finit_module: exec format error"}}}
	c := control{&hosts{coming: coming}, "virtio", "/dev/vport0p1"}
	hello, err := introduce()
	if err != nil {
		t.Fatal(err)
	}
	tests := kyua.NewRuns()
	defer tests.Close()
	a := &agent{
		control: c, hello: hello, ops: operations(c, s, tests), out: console{&said},
		flush: func() { steps = append(steps, "flush") },
		off:   func() error { steps = append(steps, "off"); return os.NewSyscallError("reboot", syscall.EPERM) },
	}
	over := make(chan error, 1)
	go func() { over <- a.serve(t.Context()) }()

	var client *guest.Client
	for _, session := range []string{"one", "two"} {
		host, port := net.Pipe()
		coming <- port
		if client, err = guest.Connect(t.Context(), host, session); err != nil {
			t.Fatal(err)
		}
		var got info
		if err := client.Call(t.Context(), "agent/info", nil, &got); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(info{"virtio", "/dev/vport0p1", s}, got, cmp.AllowUnexported(info{})); diff != "" {
			t.Error(diff)
		}
		if session == "one" {
			client.Close()
		}
	}
	defer client.Close()
	if err := client.PowerOff(t.Context()); err != nil {
		t.Errorf("no end marker: %v", err)
	}
	if err := <-over; !errors.Is(err, syscall.EPERM) {
		t.Errorf("agent: %v", err)
	}
	if diff := cmp.Diff([]string{"flush", "off"}, steps); diff != "" || said.Len() != 0 {
		t.Errorf("%s\nsaid %q", diff, &said)
	}
}

func TestServeStops(t *testing.T) {
	a := &agent{control: control{&hosts{}, "serial", "/dev/ttyS1"}}
	ctx, cancel := context.WithTimeout(t.Context(), 5*nextHost)
	defer cancel()
	if err := a.serve(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
}

func TestServeDoesNotMendADamagedStream(t *testing.T) {
	host, port := net.Pipe()
	a := &agent{control: control{port, "serial", "/dev/ttyS1"}, hello: guest.Hello{BootID: "b", OS: "linux", Arch: "amd64", Kernel: "6", Agent: "1", CPUs: 1}}
	over := make(chan error, 1)
	go func() { over <- a.serve(t.Context()) }()
	client, err := guest.Connect(t.Context(), keep{host}, "s")
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if _, err := host.Write([]byte("overrun")); err != nil {
		t.Fatal(err)
	}
	if err := <-over; !errors.Is(err, guest.ErrFrameMagic) || !strings.HasPrefix(err.Error(), "/dev/ttyS1: ") {
		t.Error(err)
	}
	port.Close()
}

// keep is a conn that more than its client writes to.
type keep struct{ net.Conn }

func TestFaults(t *testing.T) {
	s := setup{Steps: []step{did("mount /tmp", nil)}, Modules: []step{did("/m/a.ko", syscall.ENOEXEC)}, Sysctls: []step{did("a=1", syscall.ENOENT)}}
	want := []string{"/m/a.ko: exec format error", "a=1: no such file or directory"}
	if diff := cmp.Diff(want, s.faults()); diff != "" {
		t.Error(diff)
	}
}

func TestOperations(t *testing.T) {
	ops := operations(control{}, setup{}, kyua.NewRuns())
	for _, name := range []string{"agent/info", "smoke/clock", "smoke/loopback_tcp", "kernel/sysctl", "kyua/start"} {
		if ops[name] == nil {
			t.Errorf("no operation %s", name)
		}
	}
	answer, err := ops["agent/info"](t.Context(), json.RawMessage("null"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := json.Marshal(answer); err != nil {
		t.Error(err)
	}
}
