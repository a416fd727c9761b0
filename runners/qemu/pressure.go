package qemu

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/digitalocean/go-qemu/qmp"

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
	const command = "query-cpus-fast"
	text, err := json.Marshal(qmp.Command{Execute: command})
	if err != nil {
		return nil, err
	}
	type answer struct {
		text []byte
		err  error
	}
	answered := make(chan answer, 1)
	m.tasks.Go(func() {
		text, err := m.qmp.Run(text)
		answered <- answer{text, err}
	})
	select {
	case a := <-answered:
		if a.err != nil {
			return nil, fmt.Errorf("monitor: %s: %w", command, a.err)
		}
		return parseThreads(a.text)
	case <-ctx.Done():
		return nil, fmt.Errorf("monitor: %s: %w", command, context.Cause(ctx))
	}
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
