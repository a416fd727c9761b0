package nic

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestPassthrough boots a Linux guest that has an IOMMU and two NICs on one cable,
// and passes one of them through there: TestInGuest is what it runs. So the real
// kernel's sysfs is seen without any hardware.
func TestPassthrough(t *testing.T) {
	if os.Getenv("HEADWATCH_VFIO") == "" {
		t.Skip("boots a guest for a minute: make test-vfio")
	}
	needQEMU(t)
	kernel, initrd := passthroughGuest(t)
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, qemuBinary, "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
		"-machine", "q35,kernel-irqchip=split", "-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "2", "-m", "512",
		"-device", "intel-iommu,intremap=on,caching-mode=on",
		"-kernel", kernel, "-initrd", initrd, "-append", "console=ttyS0 panic=-1 quiet no_timer_check intel_iommu=on",
		"-serial", "stdio",
		"-netdev", "hubport,id=a,hubid=0", "-device", "e1000e,netdev=a,mac=52:54:00:00:00:0a,romfile=",
		"-netdev", "hubport,id=b,hubid=0", "-device", "e1000e,netdev=b,mac=52:54:00:00:00:0b,romfile=",
	)
	var console bytes.Buffer
	cmd.Stdout, cmd.Stderr = &console, &console
	err := cmd.Run()
	t.Logf("the guest said:\n%s", console.String())
	switch {
	case err != nil:
		t.Errorf("qemu: %v", err)
	case strings.Contains(console.String(), guestFailed):
		t.Error("the guest's test failed")
	case !strings.Contains(console.String(), guestPassed):
		t.Error("the guest ended without a word")
	}
}

// passthroughGuest makes an initial RAM file system of this test binary and the
// modules that it needs. It skips the test where set-up has unpacked no kernel.
func passthroughGuest(t *testing.T) (kernel, initrd string) {
	t.Helper()
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Skipf("no cache of kernels: %v", err)
	}
	root := os.Getenv("HEADWATCH_KERNELS")
	if root == "" {
		root = filepath.Join(cache, "headwatch", "kernels")
	}
	kernels, _ := filepath.Glob(filepath.Join(root, "generic", "boot", "vmlinuz-*"))
	if len(kernels) == 0 {
		t.Skipf("no generic kernel in %s: run make setup", root)
	}
	kernel = slices.Max(kernels)
	release := strings.TrimPrefix(filepath.Base(kernel), "vmlinuz-")
	binary := filepath.Join(t.TempDir(), "init")
	cmd := exec.CommandContext(t.Context(), "go", "test", "-c", "-trimpath", "-ldflags=-s -w", "-o", binary, ".")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64", "GOFLAGS=")
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build the guest's program: %v\n%s", err, text)
	}
	init, err := os.ReadFile(binary)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string][]byte{"init": init}
	var order []string
	paths := moduleFiles(t, filepath.Join(root, "generic", "lib", "modules", release))
	for _, name := range []string{"vfio_iommu_type1", "vfio_pci", "e1000e"} {
		order = addModule(t, paths, name, order, files)
	}
	files["modules/order"] = []byte(strings.Join(order, "\n"))
	initrd = filepath.Join(t.TempDir(), "initrd")
	if err := os.WriteFile(initrd, newArchive(files), 0o644); err != nil {
		t.Fatal(err)
	}
	return kernel, initrd
}

func moduleFiles(t *testing.T, root string) map[string]string {
	t.Helper()
	paths := map[string]string{}
	err := filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
		if name, ok := strings.CutSuffix(filepath.Base(path), ".ko"); ok {
			paths[strings.ReplaceAll(name, "-", "_")] = path
		}
		return err
	})
	if err != nil {
		t.Skipf("kernel's modules: %v: run make setup", err)
	}
	return paths
}

var dependencies = regexp.MustCompile(`\x00depends=([^\x00]*)\x00`)

// addModule adds a module after what it needs.
func addModule(t *testing.T, paths map[string]string, name string, order []string, files map[string][]byte) []string {
	t.Helper()
	path, ok := paths[name]
	if !ok || slices.Contains(order, name) {
		return order // built in, or there already
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if m := dependencies.FindSubmatch(data); m != nil {
		for _, need := range strings.Split(string(m[1]), ",") {
			order = addModule(t, paths, strings.ReplaceAll(need, "-", "_"), order, files)
		}
	}
	files["modules/"+name] = data
	return append(order, name)
}

// newArchive writes the "newc" format that Linux unpacks: cpio(5).
func newArchive(files map[string][]byte) []byte {
	var b bytes.Buffer
	add := func(name string, mode int, data []byte) {
		fmt.Fprintf(&b, "070701%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x",
			b.Len(), mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name)+1, 0)
		b.WriteString(name + "\x00")
		b.Write(make([]byte, -b.Len()&3))
		b.Write(data)
		b.Write(make([]byte, -b.Len()&3))
	}
	for _, dir := range []string{"dev", "proc", "sys", "tmp", "modules"} {
		add(dir, 0o040755, nil)
	}
	for name, data := range files {
		add(name, 0o100755, data)
	}
	add("TRAILER!!!", 0, nil)
	return b.Bytes()
}
