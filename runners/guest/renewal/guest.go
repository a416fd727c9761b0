//go:build linux || freebsd

package renewal

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	// carrierWait is how long an interface may take to find its link: the emulated
	// e1000 negotiates for half a second, and drivers look every second or two.
	carrierWait = 10 * time.Second
	carrierPoll = 5 * time.Millisecond
)

// Operations are the guest's part, by name. Together they keep what OpSettle opened
// and found: under emulation a clone pays for every instruction that it is the
// first to run, and looking for an interface is 50 ms of them.
func Operations() map[string]func(context.Context, json.RawMessage) (any, error) {
	k := &keeper{links: make(map[string]*link)}
	return map[string]func(context.Context, json.RawMessage) (any, error){
		OpAdapt: k.adapt, OpSettle: k.settle, OpRenew: k.renew, OpAnnounce: k.again,
		OpRest: func(ctx context.Context, _ json.RawMessage) (any, error) { return nil, rest(ctx) },
	}
}

// keeper is what one operation leaves to the other.
type keeper struct {
	mu    sync.Mutex
	seeds *os.File         // where randomness goes; see openSeeds
	parts int              // in which it goes there
	links map[string]*link // by the MAC that they had when they were found
}

// link is an interface, and what is open to change it and to send from it.
type link struct {
	net.Interface
	control, raw int // descriptors; raw is -1 until it is needed
}

func (k *keeper) settle(ctx context.Context, raw json.RawMessage) (any, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	answer, err := each(raw, func(n NIC, token string) error { return k.raise(ctx, n, token) })
	if err != nil {
		return nil, err
	}
	if err := k.openSeeds(); err != nil {
		return nil, err
	}
	if err := rehearse(); err != nil {
		return nil, err
	}
	return answer, rest(ctx)
}

// rehearse has the messages of OpRenew read and written once. What a type looks like
// is found out at its first use and kept, and finding out is a seventh of the code
// that a renewal is the first to run.
func rehearse() error {
	raw, err := json.Marshal(Renew{Seed: make([]byte, SeedSize), NICs: []NIC{{Announce: true}}})
	if err == nil {
		err = json.Unmarshal(raw, &Renew{})
	}
	if err == nil {
		_, err = json.Marshal(Renewed{Problems: []string{""}})
	}
	return err
}

// each does something with every NIC of a Settle or an Announce, which have one form,
// and says what came of it.
func each(raw json.RawMessage, do func(n NIC, token string) error) (Settled, error) {
	answer := Settled{Problems: []string{}}
	var args Settle
	if err := json.Unmarshal(raw, &args); err != nil {
		return answer, err
	}
	if err := checkNICs(args.NICs, args.Token); err != nil {
		return answer, err
	}
	for _, n := range args.NICs {
		answer.Problems = append(answer.Problems, problem(do(n, args.Token)))
	}
	return answer, nil
}

// raise brings an interface up and announces it, if that is wanted. One that stays
// down would be set up in each clone, and vmxnet3 does not come up there.
func (k *keeper) raise(ctx context.Context, n NIC, token string) error {
	l, err := k.find(n.MAC)
	if err != nil {
		return err
	}
	if err := l.setUp(); err != nil || !n.Announce {
		return err
	}
	if err := awaitCarrier(ctx, &l.Interface); err != nil {
		return err
	}
	return l.announce(l.HardwareAddr, token)
}

// awaitCarrier polls: the two systems tell of a link in ways that have nothing in
// common, and this happens once in a template's life.
func awaitCarrier(ctx context.Context, i *net.Interface) error {
	ctx, cancel := context.WithTimeoutCause(ctx, carrierWait, fmt.Errorf("%s: no carrier within %v", i.Name, carrierWait))
	defer cancel()
	tick := time.NewTicker(carrierPoll)
	defer tick.Stop()
	for {
		now, err := net.InterfaceByIndex(i.Index)
		if err != nil {
			return err
		}
		if now.Flags&net.FlagRunning != 0 {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// renew sets the clock, reseeds, and then does what needs randomness or shows on
// the wire. What fails for one NIC does not keep the guest from being used.
func (k *keeper) renew(_ context.Context, raw json.RawMessage) (any, error) {
	var args Renew
	if err := json.Unmarshal(raw, &args); err != nil {
		return nil, err
	}
	if err := args.check(); err != nil {
		return nil, err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if err := setClock(args.Time); err != nil {
		return nil, err
	}
	if err := k.openSeeds(); err != nil {
		return nil, err
	}
	if err := k.reseed(args.Seed); err != nil {
		return nil, err
	}
	answer := Renewed{Problems: []string{}}
	for _, n := range args.NICs {
		answer.Problems = append(answer.Problems, problem(k.rename(n, args.Token)))
	}
	var err error
	answer.BootID, err = bootID()
	return answer, err
}

// again sends frames again.
func (k *keeper) again(_ context.Context, raw json.RawMessage) (any, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	answer, err := each(raw, k.repeat)
	if err != nil {
		return nil, err
	}
	return answer, nil
}

func (k *keeper) repeat(n NIC, token string) error {
	if !n.Announce {
		return nil
	}
	l, err := k.find(n.MAC)
	if err != nil {
		return err
	}
	mac := l.HardwareAddr
	if n.New != "" {
		if mac, err = net.ParseMAC(n.New); err != nil {
			return err
		}
	}
	return errors.Join(l.announce(mac, token), l.hush())
}

// rename gives an interface its new address and announces it.
func (k *keeper) rename(n NIC, token string) error {
	l, err := k.find(n.MAC)
	if err != nil {
		return err
	}
	mac := l.HardwareAddr
	if n.New != "" {
		if mac, err = net.ParseMAC(n.New); err != nil {
			return err
		}
		if err := l.setMAC(mac); err != nil {
			return err
		}
	}
	if !n.Announce {
		return nil
	}
	if err := l.announce(mac, token); err != nil {
		return err
	}
	return l.hush()
}

// find is the interface that has a MAC, or had it when it was found.
func (k *keeper) find(mac string) (*link, error) {
	if l := k.links[mac]; l != nil {
		return l, nil
	}
	all, err := net.Interfaces()
	if err != nil {
		return nil, err
	}
	for _, i := range all {
		if i.HardwareAddr.String() != mac {
			continue
		}
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return nil, os.NewSyscallError("socket", err)
		}
		k.links[mac] = &link{i, fd, -1}
		return k.links[mac], nil
	}
	return nil, fmt.Errorf("%w %s: no driver took it", errAbsent, mac)
}

var errAbsent = errors.New("no interface has the address")

func (l *link) announce(src net.HardwareAddr, token string) error {
	frame, err := Frame(src, token)
	if err != nil {
		return err
	}
	if l.raw < 0 {
		l.raw, err = openRaw(&l.Interface)
	}
	if err == nil {
		err = l.send(frame)
	}
	if err != nil {
		return fmt.Errorf("%s: send a frame: %w", l.Name, err)
	}
	return nil
}

// ioctl changes or asks for something of the interface.
func (l *link) ioctl(request uintptr, what string, req *ifReq) error {
	copy(req.Name[:unix.IFNAMSIZ-1], l.Name)
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(l.control), request, uintptr(unsafe.Pointer(req))); errno != 0 {
		return fmt.Errorf("%s: %s: %w", l.Name, what, errno)
	}
	return nil
}

func (k *keeper) openSeeds() (err error) {
	if k.seeds == nil {
		k.parts = seedParts()
		k.seeds, err = os.OpenFile(seedDevice, os.O_WRONLY, 0)
	}
	return err
}

// setClock takes nanoseconds since 1970.
func setClock(ns int64) error {
	tv := unix.NsecToTimeval(ns)
	return os.NewSyscallError("settimeofday", unix.Settimeofday(&tv))
}

func bootID() (string, error) {
	id := make([]byte, 16)
	// Not crypto/rand, which is 5 ms of code that a clone has not run yet.
	n, _, errno := unix.Syscall(unix.SYS_GETRANDOM, uintptr(unsafe.Pointer(&id[0])), uintptr(len(id)), 0)
	if errno != 0 || int(n) != len(id) {
		return "", fmt.Errorf("boot id: getrandom: %d bytes: %w", n, errno)
	}
	return hex.EncodeToString(id), nil
}

func problem(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
