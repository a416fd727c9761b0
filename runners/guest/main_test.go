package guest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var testHello = Hello{BootID: "b00t", OS: "linux", Arch: "amd64", Kernel: "6.1.0", Agent: "test", CPUs: 2, Window: wideWindow}

// socketPair gives the two ends of a real unix stream, as between QEMU and us.
func socketPair(t *testing.T) (net.Conn, net.Conn) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	var conns [2]net.Conn
	for i, fd := range fds {
		f := os.NewFile(uintptr(fd), "pair")
		if conns[i], err = net.FileConn(f); err != nil {
			t.Fatal(err)
		}
		f.Close()
		t.Cleanup(func() { conns[i].Close() })
	}
	return conns[0], conns[1]
}

// served is what Serve returned.
type served struct {
	ending *Ending
	err    error
}

// serve runs the guest's end on conn for the length of the test.
func serve(t *testing.T, conn net.Conn, ops map[string]Operation) <-chan served {
	t.Helper()
	over := make(chan served, 1)
	go func() {
		ending, err := Serve(context.Background(), conn, testHello, ops)
		over <- served{ending, err}
	}()
	return over
}

func connect(t *testing.T, conn net.Conn, session string) *Client {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	c, err := Connect(ctx, conn, session)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// receive waits for a value and gives up loudly.
func receive[T any](t *testing.T, ch <-chan T) T {
	t.Helper()
	select {
	case v := <-ch:
		return v
	case <-time.After(10 * time.Second):
		t.Fatal("nothing within 10 s")
		panic("unreachable")
	}
}

// testOps are operations that show one behaviour each.
func testOps() map[string]Operation {
	return map[string]Operation{
		"echo": func(_ context.Context, args json.RawMessage) (any, error) { return args, nil },
		"none": func(context.Context, json.RawMessage) (any, error) { return nil, nil },
		"wait": func(ctx context.Context, _ json.RawMessage) (any, error) {
			<-ctx.Done()
			return nil, fmt.Errorf("wait: %w", ctx.Err())
		},
		"refused": func(context.Context, json.RawMessage) (any, error) {
			return nil, fmt.Errorf("connection 5 of 8: %w", os.NewSyscallError("connect", syscall.EADDRNOTAVAIL))
		},
		"bare":  func(context.Context, json.RawMessage) (any, error) { return nil, syscall.ENOSPC },
		"wrong": func(context.Context, json.RawMessage) (any, error) { return nil, errors.New("no such\nthing") },
		"panic": func(context.Context, json.RawMessage) (any, error) { panic("oops") },
		"large": func(context.Context, json.RawMessage) (any, error) { return make([]byte, MaxPayload), nil },
	}
}
