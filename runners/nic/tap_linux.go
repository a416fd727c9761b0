package nic

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// OpenedTap is a tap for one machine. It is not persistent: it lives as long as
// somebody holds one of its descriptors, so none is left however this process and
// QEMU end.
type OpenedTap struct {
	Name string
	// Queues are for QEMU, one per pair of queues, and Vhost is one for each; empty:
	// the kernel offers none. Close closes what nobody took out of the lists.
	Queues, Vhost []*os.File
	// Far is the harness's end, of a tap in a private namespace. Nil: the other end
	// is the bridge's.
	Far Frames
	ns  *namespace
}

// OpenTap makes the tap of a NIC whose link is tap.
func (s System) OpenTap(n NIC) (_ *OpenedTap, err error) {
	t := &OpenedTap{}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("tap: %w", err), t.Close())
		}
	}()
	if n.Bridge != "" {
		if _, err := os.Stat(s.sys("class", "net", n.Bridge, "bridge")); err != nil {
			return nil, fmt.Errorf("%s is no bridge of this host: ip link add %s type bridge", n.Bridge, n.Bridge)
		}
		if err := t.open(s, n); err != nil {
			return nil, err
		}
		if err := joinBridge(n.Bridge, t.Name); err != nil {
			return nil, err
		}
		if err := setUp(t.Name, true); err != nil {
			return nil, err
		}
	} else if err := t.openPrivate(s, n); err != nil {
		return nil, err
	}
	return t, t.openVhost(s)
}

func (t *OpenedTap) openPrivate(s System, n NIC) (err error) {
	if t.ns, err = newNamespace(); err != nil {
		return err
	}
	return t.ns.do(func() error {
		if err := t.open(s, n); err != nil {
			return err
		}
		far, err := openLink(t.Name, n.mtu())
		if err != nil {
			return err
		}
		t.Far = far
		return nil
	})
}

// open makes the tap in the caller's namespace: linux/if_tun.h. On a private one
// frames carry no header of the host's offloads, for the harness takes whole
// frames with whole checksums, as a cable has them.
func (t *OpenedTap) open(s System, n NIC) error {
	flags := uint16(unix.IFF_TAP | unix.IFF_NO_PI)
	if n.Bridge != "" {
		flags |= unix.IFF_VNET_HDR
	}
	if n.queues() > 1 {
		flags |= unix.IFF_MULTI_QUEUE
	}
	t.Name = "hw%d" // the kernel counts
	for range n.queues() {
		fd, err := unix.Open(s.dev("net", "tun"), unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
		if err != nil {
			return fmt.Errorf("%s: %w: modprobe tun, and run with CAP_NET_ADMIN", s.dev("net", "tun"), err)
		}
		r, err := unix.NewIfreq(t.Name)
		if err == nil {
			r.SetUint16(flags)
			err = unix.IoctlIfreq(fd, unix.TUNSETIFF, r)
		}
		// Only now: what is no tap yet cannot be waited for.
		t.Queues = append(t.Queues, os.NewFile(uintptr(fd), "tap"))
		if err != nil {
			return fmt.Errorf("make one: %w: run with CAP_NET_ADMIN", err)
		}
		t.Name = r.Name()
	}
	return setMTU(t.Name, n.mtu())
}

// openVhost opens the kernel's own virtio back end, if there is one.
func (t *OpenedTap) openVhost(s System) error {
	for range t.Queues {
		f, err := os.OpenFile(s.dev("vhost-net"), os.O_RDWR, 0)
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
			return nil // QEMU does it
		}
		if err != nil {
			return fmt.Errorf("vhost: %w", err)
		}
		t.Vhost = append(t.Vhost, f)
	}
	return nil
}

// Close ends the tap. Nothing of it is left once QEMU is gone.
func (t *OpenedTap) Close() error {
	var errs []error
	for _, f := range append(t.Queues, t.Vhost...) {
		errs = append(errs, f.Close())
	}
	t.Queues, t.Vhost = nil, nil
	if t.Far != nil {
		errs = append(errs, t.Far.Close())
		t.Far = nil
	}
	if t.ns != nil {
		errs = append(errs, t.ns.Close())
		t.ns = nil
	}
	return errors.Join(errs...)
}
