//go:build linux || freebsd

package guest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// perform calls an operation as the agent does, and takes its answer through
// JSON as the host does.
func perform[Result any](t *testing.T, op string, args any) (Result, error) {
	t.Helper()
	var result Result
	raw, err := json.Marshal(args)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := Operations()[op](t.Context(), raw)
	if err != nil {
		return result, err
	}
	if raw, err = json.Marshal(answer); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(raw, &result); err != nil {
		t.Fatal(err)
	}
	return result, nil
}

func TestClock(t *testing.T) {
	r, err := perform[ClockReadings](t, OpClock, ClockArgs{SleepS: 0.05})
	if err != nil {
		t.Fatal(err)
	}
	if mono := time.Duration(r.After.Monotonic - r.Before.Monotonic); mono < 50*time.Millisecond || mono > 10*time.Second {
		t.Errorf("slept %v", mono)
	}
	if r.MonotonicBack != 0 || r.Readings != 2*clockReadings {
		t.Errorf("%+v", r)
	}
	if wall := time.Unix(0, r.After.Wall); time.Since(wall).Abs() > time.Hour {
		t.Errorf("wall clock says %v", wall)
	}
}

func TestCPUs(t *testing.T) {
	online, err := onlineCPUs()
	if err != nil {
		t.Fatal(err)
	}
	r, err := perform[CPUs](t, OpCPUs, CPUArgs{Count: len(online) + 1})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(online, r.Online); diff != "" || len(r.Tried) != len(online)+1 {
		t.Fatalf("%+v\n%s", r, diff)
	}
	for i, run := range r.Tried[:len(online)] {
		if run.Refused == "EINVAL" {
			continue // this host keeps us off some of its CPUs
		}
		for _, saw := range run.Saw {
			if saw != i && saw != -1 {
				t.Errorf("bound to CPU %d, saw %v", i, run.Saw)
			}
		}
	}
	if last := r.Tried[len(online)]; last.Refused != "EINVAL" {
		t.Errorf("a CPU that is not there: %+v", last)
	}
}

func TestMemory(t *testing.T) {
	r, err := perform[Memory](t, OpMemory, MemoryArgs{MiB: 4, Seed: 7})
	if err != nil {
		t.Fatal(err)
	}
	whole := MemoryRead{Words: 4 << 20 / 8}
	if diff := cmp.Diff(Memory{whole, whole}, r); diff != "" {
		t.Error(diff)
	}
	if _, err := perform[Memory](t, OpMemory, MemoryArgs{}); err == nil {
		t.Error("no memory at all is accepted")
	}
}

func TestMemoryCheckSeesDamage(t *testing.T) {
	data := Pattern(3, 64)
	data[17] ^= 1
	data[40] ^= 1
	var r MemoryRead
	r.check(data[8:], 3, 8)
	want := MemoryRead{Words: 7, Wrong: 2, FirstOffset: 16, FirstWant: Word(3, 2), FirstGot: Word(3, 2) ^ 1<<8}
	if diff := cmp.Diff(want, r); diff != "" {
		t.Error(diff)
	}
}

func TestFilesystem(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	const size, cut = 100_001, 5_000
	r, err := perform[Filesystem](t, OpFilesystem, FilesystemArgs{Seed: 1, Bytes: size, Truncate: cut})
	if err != nil {
		t.Fatal(err)
	}
	want := Filesystem{
		Size: size, Digest: Digest(Pattern(1, size)), OldName: "ENOENT",
		Names: []string{NameLink, NameMoved}, Links: 2, SameFile: true,
		CutSize: cut, CutDigest: Digest(Pattern(1, cut)),
		NamesUnlinked: []string{NameLink}, LinksUnlinked: 1, NamesAfter: []string{},
	}
	if diff := cmp.Diff(want, r); diff != "" {
		t.Error(diff)
	}
	if left, _ := os.ReadDir(os.TempDir()); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestFilesystemRefusal(t *testing.T) {
	t.Setenv("TMPDIR", "/nowhere")
	_, err := perform[Filesystem](t, OpFilesystem, FilesystemArgs{Bytes: 1})
	if !errors.Is(err, syscall.ENOENT) || !strings.HasSuffix(err.Error(), " folder: no such file or directory") {
		t.Errorf("%v", err)
	}
}

func TestLoopback(t *testing.T) {
	for _, family := range []string{"tcp4", "tcp6"} {
		t.Run(family, func(t *testing.T) {
			if family == "tcp6" {
				l, err := net.Listen("tcp6", "[::1]:0")
				if err != nil {
					t.Skipf("this host has no IPv6 loopback: %v", err)
				}
				l.Close()
			}
			args := LoopbackArgs{Family: family, Seed: 5, StallS: 10,
				Up: []int{0, 1, 70_000, 262_144}, Down: []int{262_145, 0, 3, 99_999}}
			r, err := perform[Loopback](t, OpLoopback, args)
			if err != nil {
				t.Fatal(err)
			}
			for i, c := range r.Connections {
				want := Connection{
					ClientPort: c.ClientPort,
					Up:         Received{args.Up[i], Digest(Pattern(5+2*uint64(i), args.Up[i])), true, false},
					Down:       Received{args.Down[i], Digest(Pattern(6+2*uint64(i), args.Down[i])), true, false},
				}
				if diff := cmp.Diff(want, c); diff != "" {
					t.Error(diff)
				}
				if c.ClientPort == 0 || c.ClientPort == r.ServerPort {
					t.Errorf("ports %d and %d", c.ClientPort, r.ServerPort)
				}
			}
		})
	}
}

// A connection that is not served stalls; the operation ends all the same.
func TestLoopbackStall(t *testing.T) {
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	l := &loop{args: LoopbackArgs{Family: "tcp4", Up: []int{100}, Down: []int{100}, StallS: 0.1},
		address: listener.Addr().String(), saw: make([]Connection, 1), errs: make([]error, 2)}
	l.client(t.Context(), 0)
	if in := l.saw[0].Down; !in.Stalled || in.Ended || in.Bytes != 0 {
		t.Errorf("%+v, %v", in, l.errs)
	}
	if err := l.refusal(); err != nil {
		t.Errorf("a stall is no refusal: %v", err)
	}
}

func TestLoopbackRefused(t *testing.T) {
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	listener.Close()
	l := &loop{args: LoopbackArgs{Family: "tcp4", Up: []int{0, 9}, Down: []int{0, 9}, StallS: 1},
		address: address, saw: make([]Connection, 2), errs: make([]error, 4)}
	l.client(t.Context(), 1)
	err = l.refusal()
	if !errors.Is(err, syscall.ECONNREFUSED) || err.Error() != "connection 2 of 2: connect: connection refused" {
		t.Errorf("%v", err)
	}
}

func TestLoopbackStopsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	args := LoopbackArgs{Family: "tcp4", Up: []int{1 << 28}, Down: []int{1 << 28}, StallS: 60}
	over := make(chan error, 1)
	go func() {
		_, err := loopback(ctx, args)
		over <- err
	}()
	cancel()
	select {
	case err := <-over:
		if !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("still running")
	}
}

func TestArguments(t *testing.T) {
	for name, op := range Operations() {
		if _, err := op(t.Context(), json.RawMessage(`{"`)); err == nil || !strings.HasPrefix(err.Error(), "arguments: ") {
			t.Errorf("%s: %v", name, err)
		}
	}
	bad := []LoopbackArgs{{}, {Family: "udp", Up: []int{1}, Down: []int{1}}, {Family: "tcp4", Up: []int{1}}}
	for _, args := range bad {
		if _, err := loopback(t.Context(), args); err == nil {
			t.Errorf("%+v is accepted", args)
		}
	}
}

func TestPattern(t *testing.T) {
	// The first outputs of splitmix64 from seed 0, from its authors' program.
	for i, want := range []uint64{0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F} {
		if got := Word(0, i); got != want {
			t.Errorf("word %d is %#x, want %#x", i, got, want)
		}
	}
	if got := Pattern(0, 9); fmt.Sprintf("%x", got) != "afcd1d7b39a820e2f4" {
		t.Errorf("%x", got)
	}
}
