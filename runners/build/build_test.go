package build

import (
	"bytes"
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/headwatch/headwatch/runners"
	"github.com/headwatch/headwatch/runners/build/images"
)

func TestAgentOfAnUnknownPlatform(t *testing.T) {
	if _, err := Agent("plan9", "mips"); err == nil || err.Error() != "agent for plan9/mips is not in this binary: build with `make`" {
		t.Errorf("agent: %v", err)
	}
}

// A recipe that nobody makes, and one whose maker refuses it, are the rig's fault
// and end the log.
func TestBuilderRefuses(t *testing.T) {
	store, err := images.Open(filepath.Join(t.TempDir(), "store"))
	if err != nil {
		t.Fatal(err)
	}
	b := New(Config{Store: store, Kernels: t.TempDir(), Agent: Agent})
	for want, r := range map[string]runners.Recipe{
		`source "tree": there is none for linux`: {OS: "linux", Arch: "amd64", Source: "tree"},
		"kernel package cloud":                   {OS: "linux", Arch: "amd64", Source: "package", Kernel: "cloud"},
	} {
		var log bytes.Buffer
		_, err := b.Build(t.Context(), r, runners.Tree{}, &log)
		if _, rig := errors.AsType[*runners.InfraError](err); !rig || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want an InfraError with %q", err, want)
		}
	}
}
