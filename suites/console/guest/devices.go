//go:build linux || freebsd

package guest

import (
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// maxSetting bounds what is read of a setting, in bytes.
const maxSetting = 1 << 20

// openClose opens and closes a device while others use it.
func (t *thread) openClose() error {
	for t.next() {
		fd, err := t.open(t.rand.IntN(2) == 0)
		if err != nil {
			if !t.Endures {
				return err
			}
			t.pause(reopening)
			continue
		}
		switch t.rand.IntN(4) {
		case 0:
			t.call("flush", func() error { return flush(fd) })
		case 1:
			t.call("watch", func() error { return watch(fd) })
		}
		t.close(fd)
		t.did(0)
	}
	return nil
}

// list reads what the kernel tells about its terminals.
func (t *thread) list() error {
	for t.next() {
		n := 0
		err := t.call("list", func() (err error) { n, err = readSetting(t.Path); return err })
		if err != nil && !enough(err) {
			return err
		}
		t.did(n)
	}
	return nil
}

// set changes a setting, and leaves its first value.
func (t *thread) set() error {
	for t.next() {
		value := t.Values[t.rand.IntN(len(t.Values))]
		if err := t.call("set", func() error { return writeSetting(t.Path, value) }); err != nil && !t.Endures {
			return err
		}
		t.did(0)
		t.pause(time.Duration(t.rand.IntN(20)) * time.Millisecond)
	}
	return t.call("set", func() error { return writeSetting(t.Path, t.Values[0]) })
}

// takeMemory takes memory, touches each page and gives it back.
func (t *thread) takeMemory() error {
	for t.next() {
		err := t.call("mmap", func() error {
			b, err := unix.Mmap(-1, 0, t.MiB<<20, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
			if err != nil {
				return err
			}
			for i := 0; i < len(b); i += os.Getpagesize() {
				b[i] = byte(i)
			}
			return unix.Munmap(b)
		})
		if err != nil && !enough(err) {
			return err
		}
		t.did(0)
		t.pause(5 * time.Millisecond)
	}
	return nil
}
