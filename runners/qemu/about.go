package qemu

import (
	"context"
	"fmt"
	"os/exec"
	"regexp"
	"time"

	"github.com/headwatch/headwatch/runners"
)

// askTime bounds a question to QEMU's command line.
const askTime = 20 * time.Second

// Version is QEMU's own, such as "7.2.22".
func (r *Runner) Version(ctx context.Context) (string, error) {
	out, err := r.ask(ctx, "--version")
	if err != nil {
		return "", err
	}
	return parseVersion(out)
}

// Devices lists the models of network interfaces that this QEMU emulates, by
// the names that runners.NIC uses.
func (r *Runner) Devices(ctx context.Context) ([]string, error) {
	out, err := r.ask(ctx, "-machine", "q35", "-device", "help")
	if err != nil {
		return nil, err
	}
	return parseDevices(out), nil
}

func (r *Runner) ask(ctx context.Context, args ...string) (string, error) {
	binary, err := r.binary()
	if err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	out, err := exec.CommandContext(ctx, binary, args...).Output()
	if err != nil {
		return "", &runners.InfraError{Op: Quote(append([]string{binary}, args...)), Err: err}
	}
	return string(out), nil
}

var versionLine = regexp.MustCompile(`QEMU emulator version (\d+(?:\.\d+)*)`)

func parseVersion(out string) (string, error) {
	m := versionLine.FindStringSubmatch(out)
	if m == nil {
		return "", fmt.Errorf("qemu --version: no version in %.80q", out)
	}
	return m[1], nil
}

var (
	networkSection = regexp.MustCompile(`(?s)Network devices:\n(.*?)(\n\n|$)`)
	pciDevice      = regexp.MustCompile(`(?m)^name "([a-z0-9-]+)", bus PCI`)
)

// parseDevices reads "-device help": sections of lines like
//
//	name "e1000e", bus PCI, desc "Intel 82574L GbE Controller"
func parseDevices(out string) []string {
	section := networkSection.FindStringSubmatch(out)
	if section == nil {
		return nil
	}
	var models []string
	for _, m := range pciDevice.FindAllStringSubmatch(section[1], -1) {
		name := m[1]
		switch name {
		case "virtio-net-pci":
			name = "virtio-net"
		case "virtio-net-pci-non-transitional", "virtio-net-pci-transitional":
			continue // the same device with an older or newer face only
		}
		models = append(models, name)
	}
	return models
}
