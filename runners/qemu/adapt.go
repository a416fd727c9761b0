package qemu

import (
	"context"
	"fmt"

	"github.com/headwatch/headwatch/runners"
	"github.com/headwatch/headwatch/runners/guest/renewal"
	nics "github.com/headwatch/headwatch/runners/nic"
)

// adapt has the guest set what its NICs cannot tell it by themselves, if there is
// anything. A NIC that no driver took is for its cases to judge; one that cannot be
// set as its machine wants is no such machine.
func (r *Runner) adapt(ctx context.Context, m *machine, o Options) error {
	args := renewal.Adapt{}
	var places []int
	version := m.vm.monitor.version()
	for i, n := range o.NICs {
		s := nics.NIC(n).Guest(version)
		if s == (nics.Settings{}) || n.Link == nics.VFIO { // whose address is the hardware's
			continue
		}
		args.NICs = append(args.NICs, renewal.Adaptation{MAC: o.nic(i).mac(), MTU: s.MTU, TSO: s.TSO, LRO: s.LRO, Checksum: s.Checksum})
		places = append(places, i)
	}
	if len(places) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, settleTime)
	defer cancel()
	var answer renewal.Adapted
	if err := m.Call(ctx, renewal.OpAdapt, args, &answer); err != nil {
		return fmt.Errorf("boot: %w", err)
	}
	if len(answer.Problems) != len(places) || len(answer.Absent) != len(places) {
		return fmt.Errorf("boot: %s: %d answers for %d NICs", renewal.OpAdapt, len(answer.Problems), len(places))
	}
	for i, place := range places {
		model := o.NICs[place].Model
		if answer.Absent[i] {
			r.logger.Warn("a NIC has no driver in the guest", "nic", place, "model", model)
			continue
		}
		if p := answer.Problems[i]; p != "" {
			return &runners.InfraError{Op: "boot", Err: fmt.Errorf("nic %d (%s): %s", place, model, clip(p)), Hint: "change what the machine wants of this NIC"}
		}
	}
	return nil
}
