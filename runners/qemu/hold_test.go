package qemu

import (
	"context"
	"errors"
	"fmt"
	"net"
	"testing"
)

// Over a UART that firmware listens on, the host says nothing before the kernel
// does.
func TestSilenceUntilTheKernelSpeaks(t *testing.T) {
	ours, theirs := net.Pipe()
	defer theirs.Close()
	v := &vm{hold: true, phases: newPhaseLog(), control: ours}
	fmt.Fprintf(v.phases, "BdsDxe: loading Boot0001\r\nLoading /boot/loader.conf\r\n")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := v.awaitKernel(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("firmware and loader: %v", err)
	}
	if _, err := ours.Write(nil); err == nil {
		t.Error("the connection of a boot that was given up is open")
	}
	fmt.Fprintf(v.phases, "---<<BOOT>>---\r\nCopyright\r\n---<<BOOT>>---\r\n")
	if err := v.awaitKernel(t.Context()); err != nil {
		t.Errorf("kernel: %v", err)
	}
	if err := (&vm{phases: newPhaseLog()}).awaitKernel(ctx); err != nil {
		t.Errorf("a port of its own: %v", err)
	}
}
