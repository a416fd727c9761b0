//go:build linux || freebsd

package guest

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"sync"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/headwatch/headwatch/suites/superpage/model"
)

const rangeSize = model.Pages * pageSize

// machine performs operations of package model on real memory: a range of its own, an
// object, and threads that are bound to the CPUs in turn. Close ends the threads.
type machine struct {
	at      uintptr
	object  int
	values  *os.File // its first page is what system calls write to memory
	scratch int
	fault   string
	ops     []chan model.Op // of each thread
	answers chan answer
	threads sync.WaitGroup
	value   int64 // that values holds; -1: none yet
}

type answer struct {
	saw model.Saw
	err error
}

// newMachine makes one in slot n, of ranges that lie side by side.
func newMachine(n, threads int, fault string) (m *machine, err error) {
	m = &machine{at: base + uintptr(n)*rangeSize, object: -1, scratch: -1, fault: fault, answers: make(chan answer), value: -1}
	made := m
	defer func() {
		if err != nil {
			made.Close()
		}
	}()
	// Nothing may be there, or it would be lost.
	if _, err := mmap(m.at, rangeSize, unix.PROT_NONE, unix.MAP_PRIVATE|unix.MAP_ANON|exclusive, -1, 0); err != nil {
		return nil, fmt.Errorf("range at %#x: %w", m.at, err)
	}
	if m.object, err = memoryObject(); err != nil {
		return nil, err
	}
	fd, err := scratchObject(pageSize)
	if err != nil {
		return nil, err
	}
	m.values = os.NewFile(uintptr(fd), "values")
	if m.scratch, err = scratchObject(pageSize); err != nil {
		return nil, err
	}
	cpus, err := cpuList()
	if err != nil {
		return nil, err
	}
	ready := make(chan error)
	for t := range threads {
		in := make(chan model.Op)
		m.ops = append(m.ops, in)
		m.threads.Go(func() {
			runtime.LockOSThread() // never unlocked: the thread ends with the goroutine, and its binding with it
			ready <- bindThread(cpus[t%len(cpus)])
			for op := range in {
				saw, err := m.perform(op)
				m.answers <- answer{saw, err}
			}
		})
	}
	for range threads {
		err = errors.Join(err, <-ready)
	}
	return m, errors.Join(err, m.reset())
}

// reset empties the range and the object.
func (m *machine) reset() error {
	return errors.Join(munmap(m.at, rangeSize),
		os.NewSyscallError("ftruncate", unix.Ftruncate(m.object, 0)),
		os.NewSyscallError("ftruncate", unix.Ftruncate(m.object, rangeSize)))
}

// Close ends the threads and takes the range away.
func (m *machine) Close() {
	for _, in := range m.ops {
		close(in)
	}
	m.threads.Wait()
	_ = munmap(m.at, rangeSize) // nothing can be done about it, and nothing depends on it
	for _, fd := range []int{m.object, m.scratch} {
		if fd >= 0 {
			unix.Close(fd)
		}
	}
	if m.values != nil {
		m.values.Close()
	}
}

// Do has the operation's thread perform it.
func (m *machine) Do(op model.Op) (model.Saw, error) {
	m.ops[op.Thread%len(m.ops)] <- op
	a := <-m.answers
	return a.saw, a.err
}

// perform is what a thread does.
func (m *machine) perform(op model.Op) (saw model.Saw, err error) {
	from, size := m.at+uintptr(op.First)*pageSize, uintptr(op.Count)*pageSize
	switch op.Kind {
	case model.Read, model.Write, model.KRead, model.KWrite:
		saw.Pages, err = m.accesses(op)
		return saw, err
	case model.Fork:
		return m.fork(op, from, size)
	}
	err = m.change(op, from, size)
	var errno syscall.Errno
	if errors.As(err, &errno) {
		call := err.Error()
		return model.Saw{Errno: fmt.Sprintf("%s (%s)", unix.ErrnoName(errno), call)}, nil
	}
	if err == nil && m.fault == FaultWrongByte && op.Kind == model.Protect && op.Count < model.Large && op.First > 0 {
		beside := from - pageSize
		caught(beside, pageSize, func() { *word(beside + 56) ^= 1 << 13 })
	}
	return saw, err
}

// prots are the permissions of package model.
var prots = [...]int{model.None: unix.PROT_NONE, model.ReadOnly: unix.PROT_READ, model.ReadWrite: unix.PROT_READ | unix.PROT_WRITE}

// change performs what is no access.
func (m *machine) change(op model.Op, from, size uintptr) error {
	switch op.Kind {
	case model.MapAnon:
		return mapAnon(from, size, prots[op.Prot])
	case model.MapShm:
		return mapObject(from, size, prots[op.Prot], m.object, int64(op.First)*pageSize)
	case model.Unmap:
		if m.fault == FaultLost && op.First+op.Count < model.Pages {
			size += pageSize
		}
		return munmap(from, size)
	case model.Protect:
		if m.fault == FaultStale && op.Prot != model.ReadWrite && op.Count > 1 {
			size -= pageSize
		}
		return mprotect(from, size, prots[op.Prot])
	case model.DontNeed:
		return madvise(from, size, adviceDontNeed)
	case model.Free:
		return madvise(from, size, adviceFree)
	case model.WillNeed:
		return madvise(from, size, adviceWillNeed)
	case model.Lock:
		return call("mlock", unix.SYS_MLOCK, from, size, 0)
	case model.Unlock:
		return call("munlock", unix.SYS_MUNLOCK, from, size, 0)
	case model.Inherit:
		return [...]func(uintptr, uintptr) error{model.Copy: inheritCopy, model.Keep: inheritKeep, model.Zero: inheritZero}[op.How](from, size)
	case model.Truncate:
		return os.NewSyscallError("ftruncate", unix.Ftruncate(m.object, int64(size)))
	}
	return fmt.Errorf("operation %s is not known here", op)
}

// accesses loads or stores each page.
func (m *machine) accesses(op model.Op) ([]model.Access, error) {
	all := make([]model.Access, 0, op.Count)
	if op.Kind == model.KWrite {
		if err := m.hold(op.Value); err != nil {
			return nil, err
		}
	}
	for i := range op.Count {
		var a model.Access
		var err error
		switch at := m.at + uintptr(op.First+i)*pageSize; op.Kind {
		case model.Read:
			a = loadPage(at)
		case model.Write:
			a = storePage(at, op.Value)
		case model.KRead:
			a, err = kernelLoad(m.scratch, at)
		case model.KWrite:
			a, err = kernelStore(int(m.values.Fd()), at)
		}
		if err != nil {
			return nil, err
		}
		all = append(all, a)
	}
	return all, nil
}

// hold makes value what system calls write to memory.
func (m *machine) hold(value uint32) error {
	if m.value == int64(value) {
		return nil
	}
	var page [pageSize / 8]uint64
	encode(&page, value)
	if _, err := unix.Pwrite(int(m.values.Fd()), (*[pageSize]byte)(unsafe.Pointer(&page))[:], 0); err != nil {
		return os.NewSyscallError("pwrite", err)
	}
	m.value = int64(value)
	return nil
}

// kernelLoad has pwrite(2) read a page, into a scratch object.
func kernelLoad(scratch int, at uintptr) (a model.Access, err error) {
	_, _, errno := unix.Syscall6(sysPwrite, uintptr(scratch), at, pageSize, 0, 0, 0)
	switch {
	case errno == unix.EFAULT:
		return model.Access{Fault: true}, nil
	case errno != 0:
		return a, os.NewSyscallError("pwrite", errno)
	}
	var page [pageSize / 8]uint64
	if n, err := unix.Pread(scratch, (*[pageSize]byte)(unsafe.Pointer(&page))[:], 0); err != nil || n != pageSize {
		return a, errors.Join(fmt.Errorf("scratch object: read %d bytes of a page", n), os.NewSyscallError("pread", err))
	}
	return decode(&page), nil
}

// kernelStore has pread(2) write a page.
func kernelStore(values int, at uintptr) (a model.Access, err error) {
	n, _, errno := unix.Syscall6(sysPread, uintptr(values), at, pageSize, 0, 0, 0)
	switch {
	case errno == unix.EFAULT:
		return model.Access{Fault: true}, nil
	case errno != 0:
		return a, os.NewSyscallError("pread", errno)
	case n != pageSize:
		return a, fmt.Errorf("pread gave %d bytes of %d", n, pageSize)
	}
	return a, nil
}

// fork has a child load and store the pages.
func (m *machine) fork(op model.Op, from, size uintptr) (model.Saw, error) {
	if err := m.hold(op.Value); err != nil {
		return model.Saw{}, err
	}
	c, err := startChild(from, from+size, int(m.values.Fd()), false)
	if err != nil {
		return model.Saw{}, err
	}
	all, err := c.accesses()
	if m.fault == FaultChild {
		storePage(from, op.Value)
	}
	return model.Saw{Pages: all}, err
}
