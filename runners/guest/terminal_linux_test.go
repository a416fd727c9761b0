package guest

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A real terminal in between, raw and read slowly.
func TestLongRequestsOverAPTY(t *testing.T) {
	master, slave := openPTY(t)
	h := testHello
	h.Window = 1024
	over := make(chan error, 1)
	go func() {
		_, err := Serve(t.Context(), slow{slave}, h, testOps())
		over <- err
	}()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	c, err := Connect(ctx, master, "s")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for _, n := range []int{10, 2000, 100_000, 30_000, 1} {
		wg.Go(func() {
			want, got := strings.Repeat("x", n), ""
			if err := c.Call(ctx, "echo", want, &got); err != nil || got != want {
				t.Errorf("%d bytes: %v", n, err)
			}
		})
	}
	wg.Wait()
	c.Close()
	<-over
}

// slow reads like a guest with little time: a few bytes, and others first.
type slow struct{ *os.File }

func (s slow) Read(b []byte) (int, error) {
	time.Sleep(100 * time.Microsecond)
	return s.File.Read(b[:min(len(b), 256)])
}

func openPTY(t *testing.T) (master, slave *os.File) {
	t.Helper()
	fd, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		t.Skipf("no pseudo-terminals here: %v", err)
	}
	master = os.NewFile(uintptr(fd), "ptmx")
	t.Cleanup(func() { master.Close() })
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	peer, err := unix.Open(fmt.Sprintf("/dev/pts/%d", n), unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		t.Skipf("no pseudo-terminals here: %v", err)
	}
	slave = os.NewFile(uintptr(peer), "pts")
	t.Cleanup(func() { slave.Close() })
	raw, err := unix.IoctlGetTermios(peer, unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	raw.Iflag, raw.Oflag, raw.Lflag = 0, 0, 0
	if err := unix.IoctlSetTermios(peer, unix.TCSETS, raw); err != nil {
		t.Fatal(err)
	}
	return master, slave
}
