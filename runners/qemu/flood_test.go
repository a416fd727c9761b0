package qemu

import (
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/headwatch/headwatch/runners"
	"github.com/headwatch/headwatch/runners/runnertest"
)

func TestFlow(t *testing.T) {
	f := flow{rate: 1000, burst: 500, patience: time.Second}
	t0 := time.Unix(1000, 0)
	for i, c := range []struct {
		at, n  int // ms, bytes
		wait   int // ms
		floods bool
	}{
		{0, 500, 0, false},
		{0, 100, 100, false},   // 100 beyond the burst
		{100, 100, 100, false}, // as fast as it may
		{600, 400, 0, false},   // it has paused: 500 are owed
		{600, 1000, 1000, false},
		{1600, 1000, 1000, false}, // for a second: at its limit
		{2600, 1000, 1000, true},
		{9000, 100, 0, false},
	} {
		wait, floods := f.take(c.n, t0.Add(time.Duration(c.at)*time.Millisecond))
		if wait.Round(time.Millisecond) != time.Duration(c.wait)*time.Millisecond || floods != c.floods {
			t.Errorf("step %d: wait %v, floods %v; want %d ms, %v", i, wait, floods, c.wait, c.floods)
		}
	}
	var none flow
	if wait, floods := none.take(1<<40, t0); wait != 0 || floods {
		t.Error("a flow without a rate has a bound")
	}
}

// A kernel whose console says too much for too long is ended, and that is its fault.
func TestConsoleFlood(t *testing.T) {
	requireQEMU(t)
	t.Parallel()
	r := New(Config{})
	r.flow = flow{rate: 2000, burst: 2000, patience: 100 * time.Millisecond} // a boot says 30,000 bytes
	s := spec(t)
	m, err := r.Boot(t.Context(), runnertest.LinuxGuest(t), s)
	if err == nil {
		m.Close()
		t.Fatal("it booted")
	}
	bad, ok := err.(*runners.BootError)
	if !ok || bad.Title != "console flood" {
		t.Errorf("%T %v", err, err)
	}
}

// A guest is held up while its console is not read.
func TestEarPauses(t *testing.T) {
	ours, theirs, err := connected()
	if err != nil {
		t.Fatal(err)
	}
	defer theirs.Close()
	var told atomic.Int64
	e, err := newEar(ours, discard{}, flow{rate: 1 << 20, burst: 1 << 20, patience: 300 * time.Millisecond}, func(n int64, _ time.Duration) { told.CompareAndSwap(0, n) })
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { defer close(ended); e.listen() }()
	began := time.Now()
	buf := make([]byte, 64<<10)
	for sent := 0; sent < 2<<20; sent += len(buf) {
		if _, err := theirs.Write(buf); err != nil {
			t.Fatal(err)
		}
	}
	took := time.Since(began)
	theirs.Close()
	<-ended
	ours.Close()
	// 1 MiB is the burst, the sockets hold a few 100 KiB, and the rest comes by the rate.
	if took < 300*time.Millisecond {
		t.Errorf("2 MiB were taken within %v", took)
	}
	if n := told.Load(); n < 1<<20 {
		t.Errorf("told of a flood after %d bytes", n)
	}
}

type discard struct{}

func (discard) Write(b []byte) (int, error) { return len(b), nil }

func connected() (a, b net.Conn, err error) {
	var h handover
	defer h.close()
	a, n, err := h.pair("test")
	if err != nil {
		return nil, nil, err
	}
	b, err = net.FileConn(h.files[n-3])
	return a, b, err
}
