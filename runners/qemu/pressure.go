package qemu

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/headwatch/headwatch/runners/pressure"
)

// Pressure perturbs the scheduling of the machine's virtual CPUs by the plan of
// seed until stop, which undoes it, whether the machine still runs or not.
func (m *machine) Pressure(ctx context.Context, seed uint64) (stop func() error, err error) {
	threads, err := m.vm.monitor.threads(ctx)
	if err != nil {
		return nil, fmt.Errorf("pressure: %w", err)
	}
	p, err := pressure.Apply(threads, pressure.Plan(seed, len(threads), pressure.Cores()))
	if err != nil {
		return nil, fmt.Errorf("pressure: %w", err)
	}
	return p.Stop, nil
}

// threads are the host's ids of the threads that run the virtual CPUs.
func (m *monitor) threads(ctx context.Context) ([]int, error) {
	text, err := m.ask(ctx, "query-cpus-fast", nil, nil)
	if err != nil {
		return nil, err
	}
	return parseThreads(text)
}

// parseThreads reads the answer to query-cpus-fast (CpuInfoFast in QEMU's
// qapi/machine.json).
func parseThreads(text []byte) ([]int, error) {
	var said struct {
		Return []struct {
			Thread int `json:"thread-id"`
		} `json:"return"`
	}
	if err := json.Unmarshal(text, &said); err != nil {
		return nil, fmt.Errorf("monitor: query-cpus-fast: %w", err)
	}
	var threads []int
	for i, cpu := range said.Return {
		if cpu.Thread <= 0 {
			return nil, fmt.Errorf("monitor: query-cpus-fast: virtual CPU %d has thread %d", i, cpu.Thread)
		}
		threads = append(threads, cpu.Thread)
	}
	if len(threads) == 0 {
		return nil, fmt.Errorf("monitor: query-cpus-fast: no virtual CPU")
	}
	return threads, nil
}
