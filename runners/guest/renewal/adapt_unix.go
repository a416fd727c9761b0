//go:build linux || freebsd

package renewal

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
)

// adapt does OpAdapt.
func (k *keeper) adapt(_ context.Context, raw json.RawMessage) (any, error) {
	var args Adapt
	if err := json.Unmarshal(raw, &args); err != nil {
		return nil, err
	}
	if err := args.check(); err != nil {
		return nil, err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	answer := Adapted{Problems: []string{}, Absent: []bool{}}
	for _, n := range args.NICs {
		l, err := k.find(n.MAC)
		absent := errors.Is(err, errAbsent)
		if absent {
			err = nil
		} else if err == nil {
			err = l.adapt(n)
		}
		answer.Problems, answer.Absent = append(answer.Problems, problem(err)), append(answer.Absent, absent)
	}
	return answer, nil
}

// adapt sets an interface up and makes sure that it is so.
func (l *link) adapt(a Adaptation) error {
	if a.MTU != 0 {
		if err := l.setMTU(a.MTU); err != nil {
			return fmt.Errorf("mtu %d: %w", a.MTU, err)
		}
		now, err := net.InterfaceByIndex(l.Index)
		if err != nil {
			return err
		}
		if now.MTU != a.MTU {
			return fmt.Errorf("%s: mtu %d: it is %d after it was set", l.Name, a.MTU, now.MTU)
		}
	}
	for _, o := range a.offloads() {
		if o.want == "" {
			continue
		}
		on, err := l.offloads(o.name)
		if err == nil && on != (o.want == "on") {
			if err = l.setOffload(o.name, o.want == "on"); err == nil {
				on, err = l.offloads(o.name)
			}
		}
		if err != nil {
			return fmt.Errorf("%s=%s: %w", o.name, o.want, err)
		}
		if on != (o.want == "on") {
			return fmt.Errorf("%s: %s=%s: its driver does not do that", l.Name, o.name, o.want)
		}
	}
	return nil
}
