package nic

import (
	"fmt"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// namespace is a network namespace without a name. The kernel takes it away, and
// what is in it, when nobody holds it any more, however its holder ended: taps
// vanish, and real interfaces return to the host's first namespace.
type namespace struct{ file *os.File }

// threadNamespace is the network namespace of the calling thread.
const threadNamespace = "/proc/thread-self/ns/net"

func newNamespace() (*namespace, error) {
	var f *os.File
	err := onOwnThread(func() (err error) {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("private network namespace: %w", err)
		}
		// Nothing of the host's own stack is to speak on what comes here.
		if err := os.WriteFile("/proc/sys/net/ipv6/conf/default/disable_ipv6", []byte("1"), 0); err != nil && !os.IsNotExist(err) {
			return fmt.Errorf("private network namespace: no IPv6: %w", err)
		}
		f, err = os.Open(threadNamespace)
		return err
	})
	if err != nil {
		return nil, err
	}
	return &namespace{f}, nil
}

// currentNamespace is that of this process, and of every thread but those above.
func currentNamespace() (*namespace, error) {
	f, err := os.Open(threadNamespace)
	if err != nil {
		return nil, err
	}
	return &namespace{f}, nil
}

// do calls f in the namespace. Sockets and taps made there stay there.
func (n *namespace) do(f func() error) error {
	return onOwnThread(func() error {
		if err := unix.Setns(int(n.file.Fd()), unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("enter network namespace: %w", err)
		}
		return f()
	})
}

func (n *namespace) Close() error { return n.file.Close() }

// onOwnThread calls f on a thread that ends with it, so that no other goroutine
// finds itself in another namespace. The main thread cannot end, and would hold
// the namespace until the process does, so it is never the one.
func onOwnThread(f func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		if unix.Gettid() == unix.Getpid() {
			done <- onOwnThread(f) // on another one, since this is taken
			runtime.UnlockOSThread()
			return
		}
		done <- f() // never unlocked: the thread ends here
	}()
	return <-done
}
