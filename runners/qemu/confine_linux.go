package qemu

import (
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// errNoSeccomp is never said on Linux, whose QEMU says itself what it lacks.
var errNoSeccomp error

// fence is a network namespace of QEMU's own (network_namespaces(7)): all that it has
// of a network are the descriptors that it was handed. The user namespace is for who
// may make a network namespace only in one of its own.
type fence struct {
	network bool
	user    bool
	off     error // why there is none
}

// on builds the fence around a process that is going to be started.
func (f fence) on(a *syscall.SysProcAttr) {
	if f.network {
		a.Cloneflags |= unix.CLONE_NEWNET
	}
	if !f.user {
		return
	}
	a.Cloneflags |= unix.CLONE_NEWUSER
	a.UidMappings = []syscall.SysProcIDMap{{ContainerID: os.Getuid(), HostID: os.Getuid(), Size: 1}}
	a.GidMappings = []syscall.SysProcIDMap{{ContainerID: os.Getgid(), HostID: os.Getgid(), Size: 1}}
}

// tryFences finds the one that this host lets QEMU have.
func tryFences(binary string, user *account) fence {
	plain := fence{network: true}
	err := tryFence(binary, user, plain)
	if err == nil {
		return plain
	}
	// Root without the privilege would lose the other user in a namespace of users.
	if user != nil {
		return fence{off: err}
	}
	private := fence{network: true, user: true}
	if err := tryFence(binary, user, private); err != nil {
		return fence{off: err}
	}
	return private
}
