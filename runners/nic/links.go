package nic

import (
	"fmt"
	"os"
)

// Usable is a link, and why it does not work on this host.
type Usable struct {
	Link    string `json:"link"`
	Problem string `json:"problem"` // empty: it works
	Note    string `json:"note"`    // what else is to be known
}

// TryLinks says which links work here, by trying: a tap is made, and goes again.
func (s System) TryLinks(candidates []Candidate) []Usable {
	tap := Usable{Link: Tap}
	if t, err := s.OpenTap(NIC{Model: "virtio-net", Link: Tap}); err != nil {
		tap.Problem = err.Error()
	} else {
		tap.Note = "vhost takes the guest's packets"
		if len(t.Vhost) == 0 {
			tap.Note = fmt.Sprintf("without vhost: %s does not open", s.dev("vhost-net"))
		}
		if err := t.Close(); err != nil {
			tap.Problem = err.Error()
		}
	}
	return []Usable{{Link: Wire}, {Link: User}, tap, s.tryVFIO(candidates)}
}

func (s System) tryVFIO(candidates []Candidate) Usable {
	u := Usable{Link: VFIO}
	free := 0
	for _, c := range candidates {
		if len(c.Obstacles) == 0 {
			free++
		}
	}
	container := s.dev("vfio", "vfio")
	_, err := os.Stat(container)
	switch {
	case len(candidates) == 0:
		u.Problem = "this host has no PCI network device"
	case err != nil:
		u.Problem = container + " is not there: modprobe vfio-pci"
	case free == 0:
		u.Problem = "no NIC of this host could be passed through"
	default:
		u.Note = fmt.Sprintf("%d of %d NICs could be passed through", free, len(candidates))
	}
	return u
}
