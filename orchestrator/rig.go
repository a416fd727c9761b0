package orchestrator

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"

	"github.com/headwatch/headwatch/orchestrator/pipeline"
	"github.com/headwatch/headwatch/suites"
)

// Rig is everything besides the commit that decides what a case says of it: what
// the builder takes from elsewhere than the tree, the machines, what boots them,
// and the suites. Evidence of different rigs is never compared, or the first commit after a
// change of ours would be accused of it.
type Rig struct {
	Salt   string // of builder.Inputs; decides which build a commit has
	Digest string // 12 hex digits, of all
}

// Rig describes the rig of a target on an upstream. runner is what the runner says
// of itself: its monitor, firmware and accelerator.
func (p Planner) Rig(upstream, target, salt, runner string) Rig {
	type caseID struct {
		Name    string
		Layer   suites.Layer
		Version int
	}
	var machines []pipeline.Machine
	cases := map[string][]caseID{}
	for _, cell := range p.Cells {
		if cell.Upstream != upstream || cell.Target != target {
			continue
		}
		machines = append(machines, p.Machines[cell.Machine])
		for _, layer := range cell.Layers {
			for _, name := range p.Layers[layer].Suites {
				cases[name] = nil
			}
		}
	}
	for _, s := range p.Suites {
		if _, used := cases[s.Name]; !used {
			continue
		}
		for _, c := range s.Cases {
			cases[s.Name] = append(cases[s.Name], caseID{c.Name, c.Layer, s.Version})
		}
	}
	// JSON sorts the keys of maps. Nothing in these values cannot be written.
	text, _ := json.Marshal([]any{salt, machines, cases, runner})
	sum := sha256.Sum256(text)
	return Rig{Salt: salt, Digest: hex.EncodeToString(sum[:6])}
}
