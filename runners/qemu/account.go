package qemu

import (
	"fmt"
	"os"
	"os/user"
	"strconv"
	"syscall"

	"github.com/headwatch/headwatch/runners"
)

// servant is the user whom QEMU becomes when headwatch runs as root: whoever
// breaks out of a guest finds a user who owns nothing.
const servant = "nobody"

// kvmDevice is opened by QEMU itself, so its user must be able to.
const kvmDevice = "/dev/kvm"

// account is a user without privileges.
type account struct {
	name     string
	uid, gid uint32
}

// User says as whom QEMU runs: the name of an unprivileged user when this process
// is root, else of this process's. Without such a user the error is a
// *runners.InfraError.
func (r *Runner) User() (string, error) {
	a, err := unprivileged()
	if err != nil {
		return "", err
	}
	if a != nil {
		return a.name, nil
	}
	if u, err := user.Current(); err == nil && u.Username != "" {
		return u.Username, nil
	}
	return "uid " + strconv.Itoa(os.Getuid()), nil // a container's user need not have a name
}

// unprivileged is the account for QEMU; nil when this process has no privileges
// that it could give up.
func unprivileged() (*account, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	u, err := user.Lookup(servant)
	if err != nil {
		return nil, noServant(err)
	}
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		return nil, noServant(err)
	}
	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	if err != nil {
		return nil, noServant(err)
	}
	if uid == 0 || gid == 0 {
		return nil, noServant(fmt.Errorf("uid %d and gid %d are privileged", uid, gid))
	}
	return &account{servant, uint32(uid), uint32(gid)}, nil
}

func noServant(err error) error {
	return &runners.InfraError{
		Op: "find an unprivileged user for qemu", Err: err,
		Hint: "run headwatch as an ordinary user, or add the user " + servant,
	}
}

// credential is what QEMU starts with: no group beside the user's own but the one
// that may open /dev/kvm, and that only to use it. A nil account gives none:
// QEMU stays who this process is.
func (a *account) credential(accel string) *syscall.Credential {
	if a == nil {
		return nil
	}
	c := &syscall.Credential{Uid: a.uid, Gid: a.gid}
	if accel == "kvm" {
		if gid, ok := groupOf(kvmDevice); ok {
			c.Groups = []uint32{gid}
		}
	}
	return c
}

// groupOf is the group whose members may read and write the file at path.
func groupOf(path string) (gid uint32, ok bool) {
	st, err := os.Stat(path)
	if err != nil || st.Mode()&0o060 != 0o060 {
		return 0, false
	}
	sys, ok := st.Sys().(*syscall.Stat_t)
	return sys.Gid, ok && sys.Gid != 0
}

// mayRead says whether the account can read an open file by its mode.
func (a *account) mayRead(st os.FileInfo) bool {
	if a == nil || st.Mode()&0o004 != 0 {
		return true
	}
	sys, ok := st.Sys().(*syscall.Stat_t)
	return ok && (sys.Uid == a.uid && st.Mode()&0o400 != 0 || sys.Gid == a.gid && st.Mode()&0o040 != 0)
}
