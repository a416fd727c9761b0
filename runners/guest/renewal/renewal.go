// Package renewal makes a copy of a frozen guest a guest of its own. A clone wakes
// up in the middle of its template's life: with the template's clock, addresses
// and random generator. Two operations put that right. OpSettle runs once, in
// the template before it is frozen; OpRenew runs in each clone, before anything
// else, and may run again. OpAnnounce is for frames of theirs that were lost: a driver that has just
// been given another address may drop some. OpRest, which takes nothing and answers
// nothing, returns when a guest can be renewed once more. Both ends are here so that they can only change together: the messages
// and the frame for the host, the operations for the agents. It imports nothing of
// the project.
//
// What a kernel draws once at boot stays as it was; docs/machines.md lists it.
package renewal

import (
	"encoding/hex"
	"errors"
	"fmt"
)

// Names of the operations.
const (
	OpSettle   = "agent/settle"
	OpRenew    = "agent/renew"
	OpAnnounce = "agent/announce"
	OpRest     = "agent/rest"
)

// SeedSize is how many bytes of fresh randomness a clone gets.
const SeedSize = 64

// maxNICs bounds what one request may name.
const maxNICs = 64

// NIC is a network interface that the guest is to do something with.
type NIC struct {
	MAC string `json:"mac"`           // its address now, by which it is found
	New string `json:"new,omitempty"` // the address it gets; empty: it keeps the old one
	// Announce makes the guest send a Frame out of it. OpSettle, which brings every one
	// up without an address, waits for its carrier first.
	Announce bool `json:"announce,omitempty"`
}

// Settle are the arguments of OpSettle, which leaves the guest ready to be
// frozen: interfaces up, and random generators at rest.
type Settle struct {
	NICs  []NIC  `json:"nics"`
	Token string `json:"token"` // see Frame
}

// Settled is its answer.
type Settled struct {
	Problems []string `json:"problems"` // one for each of the NICs; empty: none
}

// Renew are the arguments of OpRenew.
type Renew struct {
	Time  int64  `json:"time_ns"` // the host's wall clock, in nanoseconds since 1970
	Seed  []byte `json:"seed"`    // SeedSize fresh random bytes
	NICs  []NIC  `json:"nics"`
	Token string `json:"token"` // see Frame
}

// Renewed is its answer. Everything was done when it is sent; the frames may still
// be under way.
type Renewed struct {
	BootID   string   `json:"boot_id"`  // drawn by the reseeded generator
	Problems []string `json:"problems"` // one for each of the NICs; empty: none
}

// Announce are the arguments of OpAnnounce, which sends the frames of those NICs
// that announce themselves once more. Its answer is Settled.
type Announce Settle // the NICs as in the operation before

// check says what is wrong with a request.
func (r *Renew) check() error {
	switch {
	case len(r.Seed) != SeedSize:
		return fmt.Errorf("seed of %d bytes: want %d", len(r.Seed), SeedSize)
	case r.Time <= 0:
		return errors.New("no time to set the clock to")
	}
	return checkNICs(r.NICs, r.Token)
}

func checkNICs(nics []NIC, token string) error {
	if len(nics) > maxNICs {
		return fmt.Errorf("%d NICs: want at most %d", len(nics), maxNICs)
	}
	if b, err := hex.DecodeString(token); err != nil || len(b) != tokenSize {
		return fmt.Errorf("token %q: want %d bytes in hexadecimal", token, tokenSize)
	}
	return nil
}
