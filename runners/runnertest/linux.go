package runnertest

import (
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/headwatch/headwatch/runners"
	"github.com/headwatch/headwatch/runners/build/linux"
)

// LinuxGuest makes a bootable of the newest packaged cloud kernel and the
// suite's own agent. It skips the test where set-up has not unpacked a kernel.
func LinuxGuest(t testing.TB) runners.Bootable {
	t.Helper()
	return LinuxGuestOf(t, "cloud")
}

// LinuxGuestOf makes one of the newest packaged kernel of a kind, with further
// drivers.
func LinuxGuestOf(t testing.TB, kind string, drivers ...string) runners.Bootable {
	t.Helper()
	root := filepath.Join(linux.DefaultKernels(), kind)
	kernels, _ := filepath.Glob(filepath.Join(root, "boot", "vmlinuz-*"))
	if len(kernels) == 0 {
		t.Skipf("no kernel in %s: run make setup", filepath.Join(root, "boot"))
	}
	kernel := slices.Max(kernels)
	version := strings.TrimPrefix(filepath.Base(kernel), "vmlinuz-")
	files := append(modules(t, filepath.Join(root, "lib", "modules", version), drivers...), file{"init", 0o100755, buildAgent(t)})
	initrd := filepath.Join(t.TempDir(), "initrd")
	if err := os.WriteFile(initrd, archive(files), 0o644); err != nil {
		t.Fatal(err)
	}
	return runners.Bootable{Image: runners.Image{ID: "sha256:test", OS: "linux", Arch: "amd64"}, Kernel: kernel, Initrd: initrd}
}

func buildAgent(t testing.TB) []byte {
	t.Helper()
	out := filepath.Join(t.TempDir(), "agent")
	cmd := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-ldflags=-s -w", "-o", out,
		"github.com/headwatch/headwatch/runners/runnertest/testdata/agent")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64")
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build the guest's agent: %v\n%s", err, text)
	}
	b, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// file is an entry of an initial RAM file system.
type file struct {
	name string
	mode int // as in stat(2)
	data []byte
}

// modules are those of the agent's channel, of a NIC and of further drivers, in the
// order in which they load.
func modules(t testing.TB, root string, drivers ...string) []file {
	t.Helper()
	paths := make(map[string]string) // module name → path
	err := filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
		if name, ok := strings.CutSuffix(filepath.Base(path), ".ko"); ok {
			paths[strings.ReplaceAll(name, "-", "_")] = path
		}
		return err
	})
	if err != nil {
		t.Skipf("kernel's modules: %v: run make setup", err)
	}
	files := []file{{"modules", 0o040755, nil}}
	var order []string
	var add func(name string)
	add = func(name string) {
		path, ok := paths[name]
		if !ok || slices.Contains(order, name) {
			return // built in, or there already
		}
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if m := depends.FindSubmatch(data); m != nil {
			for _, need := range strings.Split(string(m[1]), ",") {
				add(strings.ReplaceAll(need, "-", "_"))
			}
		}
		order = append(order, name)
		files = append(files, file{"modules/" + name, 0o100644, data})
	}
	for _, name := range append([]string{"virtio_pci", "virtio_console", "virtio_net"}, drivers...) {
		add(name)
	}
	return append(files, file{"modules/order", 0o100644, []byte(strings.Join(order, "\n"))})
}

// depends is the entry of a module's .modinfo section that names what it needs.
var depends = regexp.MustCompile(`\x00depends=([^\x00]*)\x00`)

// archive writes the "newc" format that Linux unpacks.
func archive(files []file) []byte {
	var b bytes.Buffer
	for _, d := range []string{"dev", "proc", "sys"} {
		files = append(files, file{d, 0o040755, nil})
	}
	slices.SortFunc(files, func(a, b file) int { return strings.Compare(a.name, b.name) })
	files = append(files, file{name: "TRAILER!!!"})
	for i, f := range files {
		fmt.Fprintf(&b, "070701%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x",
			i+1, f.mode, 0, 0, 1, 0, len(f.data), 0, 0, 0, 0, len(f.name)+1, 0)
		io.WriteString(&b, f.name+"\x00")
		pad(&b)
		b.Write(f.data)
		pad(&b)
	}
	return b.Bytes()
}

func pad(b *bytes.Buffer) {
	for b.Len()%4 != 0 {
		b.WriteByte(0)
	}
}
