package pipeline

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// maxNICs bounds the NICs of a machine.
const maxNICs = 8

// ParseNICs reads "model" or "model@link", or several with commas, as a machine's
// nics has them.
func ParseNICs(s string, known Known) ([]NIC, error) {
	var out []NIC
	var errs []error
	for _, one := range strings.Split(s, ",") {
		c, wrong := (&problems{}).nic(one, known)
		for _, w := range wrong {
			errs = append(errs, errors.New(w))
		}
		out = append(out, c)
	}
	if len(out) > maxNICs {
		errs = append(errs, fmt.Errorf("expected at most %d, found %d", maxNICs, len(out)))
	}
	if len(errs) > 0 {
		return nil, errs[0]
	}
	return out, nil
}

// nic reads one, and says what is wrong with it.
func (p *problems) nic(s string, known Known) (c NIC, wrong []string) {
	model, link, linked := strings.Cut(s, "@")
	if !linked {
		link = "user"
	}
	if !slices.Contains(known.NICModels, model) {
		wrong = append(wrong, fmt.Sprintf("unknown model %s: %s", quote(model), p.hint(model, known.NICModels)))
	}
	if !slices.Contains(known.NICLinks, link) {
		wrong = append(wrong, fmt.Sprintf("unknown link %s: %s", quote(link), p.hint(link, known.NICLinks)))
	}
	return NIC{model, link}, wrong
}
