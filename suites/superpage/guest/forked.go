//go:build linux || freebsd

package guest

import (
	"errors"
	"fmt"
	"io"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/headwatch/headwatch/suites/superpage/model"
)

// errChild says that a child ended without having said all.
var errChild = errors.New("child of fork ended early")

// childPlan is what a child of fork does. It has no runtime: one thread of many was
// copied, so it makes system calls and nothing else.
type childPlan struct {
	from, to uintptr // pages
	data     uintptr // object that gets the pages' contents
	status   uintptr // pipe that gets a byte for each access: 1 where it was refused
	values   uintptr // file whose first page is written to the pages
	wait     uintptr // pipe to wait for first; 0: none
	said     [8]byte
}

// forkChild forks, and in the child carries out the plan and exits.
//
//go:norace
//go:nosplit
func forkChild(p *childPlan) (pid uintptr, errno unix.Errno) {
	pid, errno = forkProcess()
	if errno != 0 || pid != 0 {
		return pid, errno
	}
	if p.wait != 0 {
		unix.RawSyscall(unix.SYS_READ, p.wait, uintptr(unsafe.Pointer(&p.said)), 1)
	}
	for at := p.from; at < p.to; at += pageSize {
		_, _, e := unix.RawSyscall6(sysPwrite, p.data, at, pageSize, at-p.from, 0, 0)
		p.said[0] = 0
		if e != 0 {
			p.said[0] = 1
		}
		unix.RawSyscall(unix.SYS_WRITE, p.status, uintptr(unsafe.Pointer(&p.said)), 1)
	}
	for at := p.from; at < p.to && p.values != 0; at += pageSize {
		_, _, e := unix.RawSyscall6(sysPread, p.values, at, pageSize, 0, 0, 0)
		p.said[0] = 0
		if e != 0 {
			p.said[0] = 1
		}
		unix.RawSyscall(unix.SYS_WRITE, p.status, uintptr(unsafe.Pointer(&p.said)), 1)
	}
	for {
		exitProcess()
	}
}

// child is a running child of fork.
type child struct {
	pid          int
	plan         *childPlan
	data, status *os.File
	wake         *os.File // nil: it does not wait
}

// startChild forks a child that looks at pages and then, unless values is 0, writes them.
// One that waits begins when it is woken.
func startChild(from, to uintptr, values int, waits bool) (c *child, err error) {
	c = &child{plan: &childPlan{from: from, to: to, values: uintptr(values)}}
	var theirs []*os.File
	defer func() {
		for _, f := range theirs {
			f.Close()
		}
		if err != nil {
			c.closeFiles()
		}
	}()
	pipe := func(near **os.File, far *uintptr, write bool) error {
		r, w, err := os.Pipe()
		if err != nil {
			return err
		}
		if write {
			r, w = w, r
		}
		*near, theirs = r, append(theirs, w)
		*far = w.Fd() // which also makes it block, as a child without a runtime wants it
		return nil
	}
	data, err := scratchObject(int(to - from))
	if err != nil {
		return nil, err
	}
	c.data, c.plan.data = os.NewFile(uintptr(data), "contents"), uintptr(data)
	err = errors.Join(pipe(&c.status, &c.plan.status, false))
	if waits {
		err = errors.Join(err, pipe(&c.wake, &c.plan.wait, true))
	}
	if err != nil {
		return nil, err
	}
	pid, errno := forkChild(c.plan)
	if errno != 0 {
		return nil, os.NewSyscallError("fork", errno)
	}
	c.pid = int(pid)
	return c, nil
}

// accesses reads what the child saw and did, and joins it.
func (c *child) accesses() (all []model.Access, err error) {
	defer func() {
		if err != nil {
			_ = unix.Kill(c.pid, unix.SIGKILL) // it may wait for a reader, and has both ends itself
		}
		if ended := c.join(); err == nil {
			err = ended
		}
	}()
	if c.wake != nil {
		if _, err := c.wake.Write([]byte{1}); err != nil {
			return nil, err
		}
	}
	var page [pageSize / 8]uint64
	bytes := (*[pageSize]byte)(unsafe.Pointer(&page))[:]
	said := make([]byte, 1)
	for n := range 2 * (c.plan.to - c.plan.from) / pageSize {
		load := n < (c.plan.to-c.plan.from)/pageSize
		if !load && c.plan.values == 0 {
			break
		}
		if _, err := io.ReadFull(c.status, said); err != nil {
			return nil, fmt.Errorf("%w: after %d accesses", errChild, n)
		}
		a := model.Access{Fault: said[0] != 0}
		if load && !a.Fault {
			if _, err := c.data.ReadAt(bytes, int64(n)*pageSize); err != nil {
				return nil, fmt.Errorf("%w: in the contents of page %d", errChild, n)
			}
			a = decode(&page)
		}
		all = append(all, a)
	}
	return all, nil
}

// join waits for the child's end.
func (c *child) join() error {
	c.closeFiles()
	var status unix.WaitStatus
	for {
		_, err := unix.Wait4(c.pid, &status, 0, nil)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return os.NewSyscallError("wait4", err)
		}
		if !status.Exited() {
			return fmt.Errorf("%w: by signal %v", errChild, status.Signal())
		}
		return nil
	}
}

func (c *child) closeFiles() {
	for _, f := range []*os.File{c.data, c.status, c.wake} {
		if f != nil {
			f.Close()
		}
	}
}
