//go:build linux || freebsd

package guest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// stamp is word i of a range that was filled with a seed; never 0.
func stamp(seed uint64, i uintptr) uint64 {
	x := (seed + uint64(i)) * 0x9e3779b97f4a7c15
	return (x ^ x>>29) | 1
}

// stampsPerPage are the words of a page that a range's filling writes and its check
// reads: the first, the last and one that moves.
func stampsPerPage(page uintptr) [3]uintptr {
	return [3]uintptr{0, pageSize/8 - 1, 1 + page*7%(pageSize/8-2)}
}

// fill writes the stamps of a range.
func fill(addr, size uintptr, seed uint64) {
	for page := range size / pageSize {
		for _, w := range stampsPerPage(page) {
			*word(addr + page*pageSize + w*8) = stamp(seed, page*pageSize+w)
		}
	}
}

// verify counts words that are not as filled; first is the page of the first.
func verify(addr, size uintptr, seed uint64) (wrong, first int) {
	for page := range size / pageSize {
		for _, w := range stampsPerPage(page) {
			if *word(addr + page*pageSize + w*8) != stamp(seed, page*pageSize+w) {
				if wrong++; wrong == 1 {
					first = int(page)
				}
			}
		}
	}
	return wrong, first
}

// fillObject writes the stamps of a range to an object, a large page at a time.
func fillObject(fd int, size uintptr, seed uint64) error {
	buf := make([]uint64, largeSize/8)
	for at := uintptr(0); at < size; at += largeSize {
		for page := range uintptr(largeSize / pageSize) {
			whole := at/pageSize + page
			for _, w := range stampsPerPage(whole) {
				buf[page*(pageSize/8)+w] = stamp(seed, whole*pageSize+w)
			}
		}
		n, err := unix.Pwrite(fd, unsafe.Slice((*byte)(unsafe.Pointer(&buf[0])), largeSize), int64(at))
		if err != nil || n != largeSize {
			return errors.Join(fmt.Errorf("object: wrote %d of %d bytes", n, largeSize), os.NewSyscallError("pwrite", err))
		}
		clear(buf)
	}
	return nil
}

// populate maps memory that large pages can hold, fills it, takes each large page apart
// by a permission of one page, and puts it together again.
func populate(ctx context.Context, args PopulateArgs) (r Populated, err error) {
	if err := within("mib", args.MiB, 2, 1024); err != nil {
		return r, err
	}
	size := uintptr(args.MiB) << 20 &^ (largeSize - 1)
	r.Of = int(size / pageSize)
	fd := -1
	if args.Kind == Shared {
		if fd, err = memoryObject(); err != nil {
			return r, err
		}
		defer unix.Close(fd)
		if err := unix.Ftruncate(fd, int64(size)); err != nil {
			return r, os.NewSyscallError("ftruncate", err)
		}
		if err := fillObject(fd, size, args.Seed); err != nil {
			return r, err
		}
	} else if args.Kind != Anon {
		return r, fmt.Errorf("no kind %q of memory", args.Kind)
	}
	if r.Before, err = counters(); err != nil {
		return r, err
	}
	addr, err := mapAligned(size, args.Kind == Shared, fd)
	if err != nil {
		return r, err
	}
	if args.Fault == FaultNeverLarge {
		if err := spoil(addr, size, fd); err != nil {
			return r, err
		}
	}
	began := time.Now()
	if args.Kind == Anon {
		fill(addr, size, args.Seed)
	} else {
		r.Wrong, r.FirstWrong = verify(addr, size, args.Seed)
	}
	r.FillS = time.Since(began).Seconds()
	if r.LargePages, err = largePages(addr, size); err != nil {
		return r, err
	}
	if r.Filled, err = counters(); err != nil {
		return r, err
	}
	if err := r.takeApart(addr, size, args); err != nil {
		return r, err
	}
	wrong, first := verify(addr, size, args.Seed)
	if r.Wrong == 0 {
		r.FirstWrong = first
	}
	r.Wrong += wrong
	if err := munmap(addr, size); err != nil {
		return r, err
	}
	r.After, err = counters()
	return r, err
}

// spoil maps a range anew so that nothing in it can be a large page.
func spoil(addr, size uintptr, fd int) error {
	for at := addr; at < addr+size; at += largeSize {
		var err error
		if fd < 0 {
			err = mapAnon(at, largeSize, unix.PROT_READ)
		} else {
			err = mapObject(at, largeSize, unix.PROT_READ, fd, int64(at-addr))
		}
		if err == nil { // two mappings with unlike permissions
			err = mprotect(at, largeSize/2, unix.PROT_READ|unix.PROT_WRITE|unix.PROT_EXEC)
		}
		if err == nil {
			err = mprotect(at+largeSize/2, largeSize/2, unix.PROT_READ|unix.PROT_WRITE)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// takeApart makes one page of each large one read-only, and writable again.
func (r *Populated) takeApart(addr, size uintptr, args PopulateArgs) (err error) {
	part := func(prot int) error {
		for at := addr; at < addr+size; at += largeSize {
			page := (uintptr(args.Seed) + at/largeSize*31) % (largeSize / pageSize)
			if err := mprotect(at+page*pageSize, pageSize, prot); err != nil {
				return err
			}
			if args.Fault == FaultWrongByte && prot == unix.PROT_READ && at == addr {
				*word(addr + (page+1)%512*pageSize) ^= 1 << 40
			}
		}
		return nil
	}
	if err := part(unix.PROT_READ); err != nil {
		return err
	}
	if r.PartLarge, err = largePages(addr, size); err != nil {
		return err
	}
	if r.Parted, err = counters(); err != nil {
		return err
	}
	if err := part(unix.PROT_READ | unix.PROT_WRITE); err != nil {
		return err
	}
	// Every page is written again: a kernel that puts large pages together does so at
	// the fault that makes the last small one like the others.
	for at := addr; at < addr+size; at += pageSize {
		*word(at) = *word(at)
	}
	r.Whole, err = largePages(addr, size)
	return err
}
