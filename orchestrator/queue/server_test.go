package queue

import (
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

func TestEmbeddedServerHasNoPort(t *testing.T) {
	q := mustOpen(t, Config{Dir: t.TempDir()})
	if a := q.srv.server.Addr(); a != nil {
		t.Errorf("the server listens on %v", a)
	}
}

// Whatever lies in the folder, the queue starts, and with nothing in it.
func TestDamagedFiles(t *testing.T) {
	for name, damage := range map[string]func(b []byte) []byte{
		"intact":    func(b []byte) []byte { return b },
		"empty":     func([]byte) []byte { return nil },
		"truncated": func(b []byte) []byte { return b[:len(b)/2] },
		"garbled": func(b []byte) []byte {
			for i := range b {
				b[i] ^= 0x55
			}
			return b
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			q := mustOpen(t, Config{Dir: dir})
			publish(t, q, jobs(20)...)
			if err := q.Close(); err != nil {
				t.Fatal(err)
			}
			files := 0
			err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
				if err != nil || d.IsDir() {
					return err
				}
				files++
				b, err := os.ReadFile(path)
				if err != nil {
					return err
				}
				return os.WriteFile(path, damage(b), 0o600)
			})
			if err != nil || files == 0 {
				t.Fatalf("%d files: %v", files, err)
			}
			again := mustOpen(t, Config{Dir: dir})
			if n := held(t, again); n != 0 {
				t.Errorf("the queue holds %d jobs before it is rebuilt", n)
			}
			if err := again.Rebuild(soon(t), jobs(3)); err != nil {
				t.Fatal(err)
			}
			wantJobs(t, again, jobs(3))
		})
	}
}

func TestOpenRefuses(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	plain, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, NoSigs: true, NoLog: true})
	if err != nil {
		t.Fatal(err)
	}
	go plain.Start()
	defer stopServer(plain)
	if !plain.ReadyForConnections(20 * time.Second) {
		t.Fatal("server is not ready")
	}
	for _, tt := range []struct {
		name string
		cfg  Config
		want string
	}{
		{"nowhere", Config{}, "no folder"},
		{"a file", Config{Dir: file}, file},
		{"negative lease", Config{Dir: t.TempDir(), LeaseTime: -1}, "must be positive"},
		{"nobody there", Config{URL: "nats://user:secret@" + closed.Addr().String()}, closed.Addr().String()},
		{"one of two", Config{URL: "nats://user:secret@" + closed.Addr().String() + ",nats://user:secret@" + closed.Addr().String()}, ",nats://user:xxxxx@"},
		{"not an address", Config{URL: "nats://user:secret@%zz"}, "address 1 of 1"},
		{"no scheme", Config{URL: "nats://localhost,localhost:4222"}, "address 2 of 2"},
		{"no JetStream", Config{URL: plain.ClientURL()}, "not enabled"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			q, err := Open(soon(t), tt.cfg)
			if err == nil {
				q.Close()
				t.Fatal("no error")
			}
			if !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "secret") {
				t.Errorf("error %q, want one with %q", err, tt.want)
			}
		})
	}
}

// A worker that waits goes on when its server was away for a while.
func TestServerIsRestarted(t *testing.T) {
	dir := t.TempDir()
	s := serveTCP(t, dir, server.RANDOM_PORT)
	port := s.Addr().(*net.TCPAddr).Port
	q := mustOpen(t, Config{URL: s.ClientURL(), LeaseTime: never})
	publish(t, q, job(1))
	got := make(chan int)
	done(t, next(t, q))
	go func() {
		l, err := q.Next(soon(t))
		if err != nil {
			t.Error(err)
			got <- -1
			return
		}
		got <- l.Job().Repeat
	}()
	stopServer(s)
	serveTCP(t, dir, port)
	publish(t, q, job(2))
	if n := <-got; n != 2 {
		t.Errorf("got job %d", n)
	}
}
