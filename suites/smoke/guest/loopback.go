//go:build linux || freebsd

package guest

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

const (
	maxConnections = 256
	loopbackChunk  = 16 << 10
	indexSize      = 4 // bytes that a client sends first: which connection it is
)

// loopback opens all connections at once. Each carries data both ways at the
// same time and is closed by half-closes. A client first sends its number: the
// server cannot tell connections apart otherwise.
func loopback(ctx context.Context, args LoopbackArgs) (Loopback, error) {
	n := len(args.Up)
	if n < 1 || n > maxConnections || len(args.Down) != n || (args.Family != "tcp4" && args.Family != "tcp6") {
		return Loopback{}, fmt.Errorf("loopback %q with %d and %d sizes: want tcp4 or tcp6 and 1 to %d of each", args.Family, n, len(args.Down), maxConnections)
	}
	address := map[string]string{"tcp4": "127.0.0.1:0", "tcp6": "[::1]:0"}[args.Family]
	listener, err := (&net.ListenConfig{}).Listen(ctx, args.Family, address)
	if err != nil {
		return Loopback{}, bare("server", err)
	}
	l := &loop{args: args, address: listener.Addr().String(), saw: make([]Connection, n), errs: make([]error, 2*n), served: make(map[int]bool)}
	port := listener.Addr().(*net.TCPAddr).Port
	stop := context.AfterFunc(ctx, l.abort)
	defer stop()

	var server, clients sync.WaitGroup
	server.Go(func() { l.accept(listener, &server) })
	for i := range n {
		clients.Go(func() { l.client(ctx, i) })
	}
	clients.Wait()
	listener.Close()
	server.Wait()
	if err := ctx.Err(); err != nil {
		return Loopback{}, err
	}
	if err := l.refusal(); err != nil {
		return Loopback{}, err
	}
	return Loopback{port, l.saw}, nil
}

// refusal is the first connection's error. Where a connection stalled, errors
// are only what came of giving it up.
func (l *loop) refusal() error {
	for i, err := range l.errs {
		if saw := l.saw[i/2]; err != nil && !saw.Up.Stalled && !saw.Down.Stalled {
			return bare(fmt.Sprintf("connection %d of %d", i/2+1, len(l.saw)), err)
		}
	}
	if l.acceptErr != nil {
		return bare("server", l.acceptErr)
	}
	return nil
}

// loop is one round of connections. Each element of saw and errs has one writer.
type loop struct {
	args    LoopbackArgs
	address string
	saw     []Connection
	errs    []error // two for each connection: the client's, the server's

	acceptErr error // accept's

	mu      sync.Mutex
	aborted bool
	open    []net.Conn
	served  map[int]bool // connections that reached the server
}

// track makes abort close conn too.
func (l *loop) track(conn net.Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open = append(l.open, conn)
	if l.aborted {
		conn.Close()
	}
}

func (l *loop) abort() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.aborted = true
	for _, conn := range l.open {
		conn.Close()
	}
}

func (l *loop) client(ctx context.Context, i int) {
	conn, err := (&net.Dialer{Timeout: l.stall()}).DialContext(ctx, l.args.Family, l.address)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		l.saw[i].Down.Stalled = true // and no port: it never was connected
		return
	}
	if err != nil {
		l.errs[2*i] = err
		return
	}
	defer conn.Close()
	l.track(conn)
	l.saw[i].ClientPort = conn.LocalAddr().(*net.TCPAddr).Port
	up := binary.BigEndian.AppendUint32(nil, uint32(i))
	up = append(up, Pattern(l.args.Seed+2*uint64(i), l.args.Up[i])...)
	l.errs[2*i] = l.exchange(conn, up, &l.saw[i].Down)
}

func (l *loop) accept(listener net.Listener, server *sync.WaitGroup) {
	for {
		conn, err := listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			l.acceptErr = err
			listener.Close() // nobody waits for connections that will not be taken
			return
		}
		l.track(conn)
		server.Go(func() { l.serve(conn) })
	}
}

// claim reports whether i is a connection that no server goroutine has yet: the
// number came through the kernel under test.
func (l *loop) claim(i int) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if i >= len(l.saw) || l.served[i] {
		return false
	}
	l.served[i] = true
	return true
}

// serve is the server's end of one connection. A client whose number does not
// arrive gets no data: that shows there.
func (l *loop) serve(conn net.Conn) {
	defer conn.Close()
	var number [indexSize]byte
	conn.SetReadDeadline(time.Now().Add(l.stall()))
	if _, err := io.ReadFull(conn, number[:]); err != nil {
		return
	}
	i := int(binary.BigEndian.Uint32(number[:]))
	if !l.claim(i) {
		return
	}
	down := Pattern(l.args.Seed+2*uint64(i)+1, l.args.Down[i])
	if err := l.exchange(conn, down, &l.saw[i].Up); err != nil {
		l.errs[2*i+1] = fmt.Errorf("server: %w", err)
	}
}

func (l *loop) stall() time.Duration { return time.Duration(l.args.StallS * float64(time.Second)) }

// exchange sends data and a half-close, and receives until the other end's.
func (l *loop) exchange(conn net.Conn, data []byte, in *Received) error {
	sum := sha256.New()
	sent := make(chan error, 1)
	go func() { sent <- l.send(conn, data) }()
	err := l.receive(conn, in, sum)
	if err != nil || in.Stalled {
		conn.Close() // nothing to wait for: let the sender go
	}
	in.Digest = hex.EncodeToString(sum.Sum(nil))
	if sendErr := <-sent; err == nil && !in.Stalled {
		err = sendErr
	}
	return err
}

func (l *loop) send(conn net.Conn, data []byte) error {
	for len(data) > 0 {
		conn.SetWriteDeadline(time.Now().Add(l.stall()))
		n, err := conn.Write(data[:min(loopbackChunk, len(data))])
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return nil // the other end reports that it received nothing more
		}
		if err != nil {
			return err
		}
		data = data[n:]
	}
	return conn.(*net.TCPConn).CloseWrite()
}

func (l *loop) receive(conn net.Conn, in *Received, sum hash.Hash) error {
	buf := make([]byte, loopbackChunk)
	for {
		conn.SetReadDeadline(time.Now().Add(l.stall()))
		n, err := conn.Read(buf)
		in.Bytes += n
		sum.Write(buf[:n])
		switch {
		case errors.Is(err, io.EOF):
			in.Ended = true
			return nil
		case errors.Is(err, os.ErrDeadlineExceeded):
			in.Stalled = true
			return nil
		case err != nil:
			return err
		}
	}
}

// bare keeps the system call and its errno of a network error: addresses and
// ports differ in every run, and a reason should not.
func bare(where string, err error) error {
	var call *os.SyscallError
	var errno syscall.Errno
	switch {
	case errors.As(err, &call):
		return fmt.Errorf("%s: %w", where, call)
	case errors.As(err, &errno):
		return fmt.Errorf("%s: %w", where, errno)
	}
	return fmt.Errorf("%s: %w", where, err)
}
