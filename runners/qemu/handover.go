package qemu

import (
	"fmt"
	"net"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	nics "github.com/headwatch/headwatch/runners/nic"
)

// handover is what QEMU gets as open descriptors, because it may not be able to
// reach it by name: it may run as another user, and the state directory may lie
// below one that only its owner may search. So QEMU opens no file of ours by
// path and makes none; what it is started with differs in this from the command
// line that people see.
type handover struct {
	files []*os.File // become descriptors 3 and up
	names []string   // pairs for strings.NewReplacer: what QEMU reads, what people know
}

// descriptors are where QEMU finds what was handed over; zero: by name.
type descriptors struct {
	monitor, console, control int
	lines                     []int // by line
	disks                     []int
	overlay                   []int       // one for each way in which it is opened
	ends                      []nics.Ends // by NIC
}

// add hands f over and returns its number in QEMU.
func (h *handover) add(f *os.File) int {
	h.files = append(h.files, f)
	return 2 + len(h.files)
}

// pair makes a connection and hands one end over.
func (h *handover) pair(name string) (net.Conn, int, error) {
	ours, theirs, err := socketPair(name)
	if err != nil {
		return nil, 0, err
	}
	defer ours.Close() // the connection has a copy
	n := h.add(theirs)
	conn, err := net.FileConn(ours)
	if err != nil {
		return nil, 0, fmt.Errorf("%s: %w", name, err)
	}
	return conn, n, nil
}

// socketPair makes a connection as two files.
func socketPair(name string) (ours, theirs *os.File, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("socket pair for the %s: %w", name, err)
	}
	return os.NewFile(uintptr(fds[0]), name), os.NewFile(uintptr(fds[1]), name), nil
}

// images opens the kernel, the initial RAM file system and the disks for QEMU as
// the user a, and makes o point to them.
func (h *handover) images(o *Options, a *account) error {
	for _, path := range []*string{&o.Kernel, &o.Initrd} {
		if *path == "" || o.Clone {
			continue
		}
		f, err := openFor(a, *path)
		if err != nil {
			return err
		}
		name := reopen(h.add(f), *path)
		h.names = append(h.names, name, *path)
		*path = name
	}
	for i, path := range o.Disks {
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		o.handed.disks = append(o.handed.disks, h.add(f))
		h.names = append(h.names, disk{index: i}.set(), path)
	}
	return nil
}

// substance is what a frozen machine consists of, beside its image: memory files
// without names. nil: the machine has none.
type substance struct {
	ram     *os.File // the guest's memory
	overlay *os.File // what it wrote to its disk
	state   *os.File // its devices
}

// substance hands over what o.RAM and o.Overlay stand for, and a clone's state, as
// descriptor state. Each gets an offset of its own.
func (h *handover) substance(o *Options, s substance) (state int, err error) {
	if s.ram == nil {
		return 0, nil
	}
	f, err := again(s.ram, os.O_RDWR)
	if err != nil {
		return 0, err
	}
	name := reopen(h.add(f), o.RAM)
	h.names = append(h.names, name, o.RAM)
	o.RAM = name
	if s.overlay != nil {
		for _, mode := range []int{os.O_RDONLY, os.O_RDWR} {
			if mode == os.O_RDWR && o.Clone {
				continue
			}
			if f, err = again(s.overlay, mode); err != nil {
				return 0, err
			}
			o.handed.overlay = append(o.handed.overlay, h.add(f))
		}
		h.names = append(h.names, overlaySet, o.Overlay)
	}
	if o.Clone {
		if f, err = again(s.state, os.O_RDONLY); err != nil {
			return 0, err
		}
		state = h.add(f)
	}
	return state, nil
}

// openFor opens a file that QEMU, as the user a, opens again by its descriptor,
// which asks for the file's own permission but for no folder's. What a may not
// read is copied, once: kernels of some distributions are for root only.
func openFor(a *account, path string) (*os.File, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	st, err := f.Stat()
	if err == nil && a.mayRead(st) {
		return f, nil
	}
	defer f.Close()
	if err != nil {
		return nil, err
	}
	return copyOf(f)
}

// largest is the size of the largest file that was handed over, in bytes.
func (h *handover) largest() (most uint64) {
	for _, f := range h.files {
		if st, err := f.Stat(); err == nil && st.Mode().IsRegular() {
			most = max(most, uint64(st.Size()))
		}
	}
	return most
}

// translate puts the names that people know into QEMU's words.
func (h *handover) translate(said string) string {
	return strings.NewReplacer(h.names...).Replace(said)
}

// close closes this process's copies. It may be called twice.
func (h *handover) close() {
	for _, f := range h.files {
		f.Close()
	}
	h.files = nil
}
