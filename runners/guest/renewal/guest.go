//go:build linux || freebsd

package renewal

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"time"
)

const (
	// carrierWait is how long an interface may take to find its link: the emulated
	// e1000 negotiates for half a second, and drivers look every second or two.
	carrierWait = 10 * time.Second
	carrierPoll = 5 * time.Millisecond
)

// Operations are the guest's part, by name.
func Operations() map[string]func(context.Context, json.RawMessage) (any, error) {
	return map[string]func(context.Context, json.RawMessage) (any, error){OpSettle: settle, OpRenew: renew}
}

func settle(ctx context.Context, raw json.RawMessage) (any, error) {
	var args Settle
	if err := json.Unmarshal(raw, &args); err != nil {
		return nil, err
	}
	if err := checkNICs(args.NICs, args.Token); err != nil {
		return nil, err
	}
	answer := Settled{Problems: []string{}}
	for _, n := range args.NICs {
		answer.Problems = append(answer.Problems, problem(raise(ctx, n, args.Token)))
	}
	// What a clone does first is done once here: its code is then in memory.
	if _, err := bootID(); err != nil {
		return nil, err
	}
	return answer, rest(ctx)
}

// raise brings an interface up and announces it.
func raise(ctx context.Context, n NIC, token string) error {
	if !n.Announce {
		return nil
	}
	i, err := find(n.MAC)
	if err != nil {
		return err
	}
	if err := setUp(i); err != nil {
		return err
	}
	if err := awaitCarrier(ctx, i); err != nil {
		return err
	}
	return announce(i, i.HardwareAddr, token)
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
func renew(_ context.Context, raw json.RawMessage) (any, error) {
	var args Renew
	if err := json.Unmarshal(raw, &args); err != nil {
		return nil, err
	}
	if err := args.check(); err != nil {
		return nil, err
	}
	if err := setClock(time.Unix(0, args.Time)); err != nil {
		return nil, err
	}
	if err := reseed(args.Seed); err != nil {
		return nil, err
	}
	answer := Renewed{Problems: []string{}}
	for _, n := range args.NICs {
		answer.Problems = append(answer.Problems, problem(rename(n, args.Token)))
	}
	var err error
	answer.BootID, err = bootID()
	return answer, err
}

// rename gives an interface its new address and announces it.
func rename(n NIC, token string) error {
	i, err := find(n.MAC)
	if err != nil {
		return err
	}
	mac := i.HardwareAddr
	if n.New != "" {
		if mac, err = net.ParseMAC(n.New); err != nil {
			return err
		}
		if err := setMAC(i, mac); err != nil {
			return err
		}
	}
	if !n.Announce {
		return nil
	}
	return announce(i, mac, token)
}

// find is the interface that has a MAC.
func find(mac string) (*net.Interface, error) {
	all, err := net.Interfaces()
	if err != nil {
		return nil, err
	}
	for _, i := range all {
		if i.HardwareAddr.String() == mac {
			return &i, nil
		}
	}
	return nil, fmt.Errorf("no interface has the address %s: no driver took it", mac)
}

func announce(i *net.Interface, src net.HardwareAddr, token string) error {
	frame, err := Frame(src, token)
	if err != nil {
		return err
	}
	if err := send(i, frame); err != nil {
		return fmt.Errorf("%s: send a frame: %w", i.Name, err)
	}
	return nil
}

func bootID() (string, error) {
	id := make([]byte, 16)
	if _, err := rand.Read(id); err != nil {
		return "", errors.Join(errors.New("boot id"), err)
	}
	return hex.EncodeToString(id), nil
}

func problem(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
