package qemu

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/headwatch/headwatch/runners"
)

func TestDescribe(t *testing.T) {
	requireQEMU(t)
	r := New(Config{})
	text, err := r.Describe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	version, err := r.Version(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	accel, _ := r.Probe(t.Context())
	if !strings.HasPrefix(text, "QEMU "+version) || !strings.HasSuffix(text, ", "+accel) {
		t.Errorf("%q does not tell of QEMU %s and %s", text, version, accel)
	}
	began := time.Now()
	const times = 100
	for range times {
		if again, err := r.Describe(t.Context()); err != nil || again != text {
			t.Fatalf("again: %q, %v", again, err)
		}
	}
	if each := time.Since(began) / times; each > 20*time.Millisecond { // starting QEMU takes longer
		t.Errorf("each further description takes %v", each)
	}
}

// fakeQEMU is a program that knows its version only, and counts who asks.
func fakeQEMU(t *testing.T, dir, version string) (path, asked string) {
	t.Helper()
	path, asked = filepath.Join(dir, "qemu"), filepath.Join(dir, "asked")
	script := fmt.Sprintf("#!/bin/sh\necho asked >>'%s'\necho 'QEMU emulator version %s'\necho 'Copyright'\n", asked, version)
	// A new file in the old one's place, as an upgrade does it.
	if err := errors.Join(os.WriteFile(path+".new", []byte(script), 0o755), os.Rename(path+".new", path)); err != nil {
		t.Fatal(err)
	}
	return path, asked
}

// An upgrade between two questions is seen, and nothing is asked twice.
func TestDescriptionFollowsUpgrades(t *testing.T) {
	dir := t.TempDir()
	path, asked := fakeQEMU(t, dir, "7.2.1 (Debian 1:7.2+dfsg-7)")
	r := New(Config{Binary: path})
	uefi := []Firmware{{Path: filepath.Join(dir, "uefi.fd")}}
	look := func() string {
		t.Helper()
		version, firmware, err := r.examine(t.Context(), uefi)
		if err != nil {
			t.Fatal(err)
		}
		return version + ", " + firmware
	}
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(uefi[0].Path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	steps := []struct {
		change func()
		want   string
	}{
		{func() {}, "7.2.1 (Debian 1:7.2+dfsg-7), no firmware"},
		{func() { write("one") }, "7.2.1 (Debian 1:7.2+dfsg-7), firmware sha256:7692c3ad3540"},
		{func() { write("three") }, "7.2.1 (Debian 1:7.2+dfsg-7), firmware sha256:8b5b9db0c13d"},
		{func() { fakeQEMU(t, dir, "7.2.2 (Debian 1:7.2+dfsg-8)") }, "7.2.2 (Debian 1:7.2+dfsg-8), firmware sha256:8b5b9db0c13d"},
	}
	for _, s := range steps {
		s.change()
		for range 3 {
			if got := look(); got != s.want {
				t.Errorf("got %q, want %q", got, s.want)
			}
		}
	}
	if b, err := os.ReadFile(asked); err != nil || strings.Count(string(b), "asked") != 2 {
		t.Errorf("asked %q, %v; want once for each version", b, err)
	}
}

func TestDescribeWhatCannotBe(t *testing.T) {
	for name, binary := range map[string]func(t *testing.T) string{
		"missing": func(t *testing.T) string { return filepath.Join(t.TempDir(), "qemu") },
		"mute": func(t *testing.T) string {
			path := filepath.Join(t.TempDir(), "qemu")
			if err := os.WriteFile(path, []byte("#!/bin/sh\nexit 0\n"), 0o755); err != nil {
				t.Fatal(err)
			}
			return path
		},
	} {
		text, err := New(Config{Binary: binary(t)}).Describe(t.Context())
		if _, rigs := errors.AsType[*runners.InfraError](err); !rigs || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %q, %v; want a line that says it is the rig's fault", name, text, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if text, err := New(Config{}).Describe(ctx); err == nil {
		t.Errorf("cancelled: %q", text)
	}
}
