package qemu

import (
	"context"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/headwatch/headwatch/runners/runnertest"
)

func TestAbout(t *testing.T) {
	requireQEMU(t)
	r := New(Config{})
	if v, err := r.Version(t.Context()); err != nil || v == "" {
		t.Errorf("version %q, %v", v, err)
	}
	if d, err := r.Devices(t.Context()); err != nil || !slices.Contains(d, "virtio-net") || !slices.Contains(d, "e1000") {
		t.Errorf("devices %v, %v", d, err)
	}
}

// A command for a person boots the machine when a shell runs it.
func TestCommandWorksWhenPasted(t *testing.T) {
	requireQEMU(t)
	t.Parallel()
	b := runnertest.LinuxGuest(t)
	b.Cmdline = "rdinit=/nonexistent 'quoted'"
	s := spec(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "sh", "-c", "exec "+New(Config{}).Command(b, s))
	out, err := cmd.CombinedOutput() // it ends with the kernel's panic
	if err != nil || !strings.Contains(string(out), "Kernel panic - not syncing") {
		t.Errorf("%v\n%s", err, out)
	}
}
