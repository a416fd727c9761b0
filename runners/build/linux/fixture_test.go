package linux

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/headwatch/headwatch/runners"
	"github.com/headwatch/headwatch/runners/build/images"
)

const testRelease = "6.1.0-9-test"

// writeFile writes a file below dir, with the folders that it needs.
func writeFile(t *testing.T, dir, name, content string) {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

// koFile makes the least ELF object that is a kernel module to those who read
// its .modinfo section.
func koFile(name string, needs ...string) string {
	info := fmt.Sprintf("license=GPL\x00depends=%s\x00name=%s\x00", strings.Join(needs, ","), name)
	names := "\x00.modinfo\x00.shstrtab\x00"
	const header = 64
	var b bytes.Buffer
	h := elf.Header64{Type: uint16(elf.ET_REL), Machine: uint16(elf.EM_X86_64), Version: 1,
		Shoff: uint64(header + len(info) + len(names)), Ehsize: header, Shentsize: 64, Shnum: 3, Shstrndx: 2}
	copy(h.Ident[:], "\x7fELF\x02\x01\x01")
	binary.Write(&b, binary.LittleEndian, h)
	b.WriteString(info + names)
	for _, s := range []elf.Section64{
		{},
		{Name: 1, Type: uint32(elf.SHT_PROGBITS), Off: header, Size: uint64(len(info))},
		{Name: 10, Type: uint32(elf.SHT_STRTAB), Off: uint64(header + len(info)), Size: uint64(len(names))},
	} {
		binary.Write(&b, binary.LittleEndian, s)
	}
	return b.String()
}

// testKernels makes a folder of kernel packages with one called cloud, of the
// shape that Debian's has: some modules, some built in, no modules.dep.
func testKernels(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	root := filepath.Join(dir, "cloud")
	writeFile(t, root, "VERSION", "linux-image-test 6.1-1\n")
	writeFile(t, root, "boot/vmlinuz-"+testRelease, strings.Repeat("kernel ", 10000))
	writeFile(t, root, "boot/config-"+testRelease, "#\nCONFIG_X86_64=y\n")
	writeFile(t, root, "boot/vmlinuz-6.1.0-10-test", "newer, but without modules")
	mods := "lib/modules/" + testRelease + "/"
	writeFile(t, root, mods+"modules.builtin", "kernel/drivers/char/hw_random/rng-core.ko\n")
	for path, needs := range map[string]string{
		"drivers/virtio/virtio":                "virtio_ring",
		"drivers/virtio/virtio_ring":           "",
		"drivers/virtio/virtio_pci":            "virtio_ring,virtio_pci_modern_dev,virtio",
		"drivers/virtio/virtio_pci_modern_dev": "",
		"drivers/char/virtio_console":          "virtio,virtio_ring",
		"drivers/char/hw_random/virtio-rng":    "virtio,rng-core",
		"drivers/net/virtio_net":               "virtio,net_failover",
		"drivers/net/net_failover":             "failover",
		"net/core/failover":                    "",
		"net/ipv4/tcp_bbr":                     "",
		"net/sched/sch_fq":                     "",
		"net/broken":                           "not_there",
		"net/left":                             "right",
		"net/right":                            "left",
	} {
		name := filepath.Base(path)
		var list []string
		if needs != "" {
			list = strings.Split(needs, ",")
		}
		writeFile(t, root, mods+"kernel/"+path+".ko", koFile(name, list...))
	}
	return dir
}

func testRecipe() runners.Recipe {
	return runners.Recipe{OS: "linux", Arch: "amd64", Source: "package", Kernel: "cloud", Overlay: "guest", Cmdline: []string{"slab_nomerge", "panic=-1"}}
}

func testStore(t *testing.T) *images.Store {
	t.Helper()
	s, err := images.Open(filepath.Join(t.TempDir(), "store"))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// wantImages is the number of images in a store that has nothing else.
func wantImages(t *testing.T, s *images.Store, n int) []images.Entry {
	t.Helper()
	list, err := s.List()
	if err != nil || len(list) != n {
		t.Errorf("%d images, %v; want %d", len(list), err, n)
	}
	found, err := s.Check(t.Context())
	if err != nil || len(found) > 0 {
		t.Errorf("check: %v, %v", found, err)
	}
	return list
}

func testBuilder(t *testing.T, kernels string) *Builder {
	t.Helper()
	return New(Config{Store: testStore(t), Kernels: kernels, Agent: func(os, arch string) ([]byte, error) {
		return []byte("agent of " + os + "/" + arch), nil
	}})
}

// realAgent is the project's agent, or where its source is not there yet a
// static program in its place.
var realAgent = sync.OnceValues(func() ([]byte, error) {
	dir, err := os.MkdirTemp("", "agent")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	out := filepath.Join(dir, "agent")
	source, _ := filepath.Glob("../../cmd/headwatch-agent/main*.go")
	pkg := "../../cmd/headwatch-agent"
	if len(source) == 0 {
		pkg = filepath.Join(dir, "main.go")
		if err := os.WriteFile(pkg, []byte("package main\n\nfunc main() { println(\"hello\"); select {} }\n"), 0o644); err != nil {
			return nil, err
		}
	}
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-o", out, pkg)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64")
	if said, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("go build: %w: %s", err, said)
	}
	return os.ReadFile(out)
})

// archived is one entry read back from an archive.
type archived struct {
	name              string
	ino, mode, links  int
	major, minor, pos int
	body              string
}

// readCPIO reads archives that follow each other, the way the kernel does:
// entries at multiples of four, zeroes between archives.
func readCPIO(data []byte) ([]archived, error) {
	var list []archived
	for at := 0; at < len(data); {
		if data[at] == 0 {
			at++
			continue
		}
		if at%4 != 0 || len(data)-at < 110 || string(data[at:at+6]) != "070701" {
			return nil, fmt.Errorf("no header at %d", at)
		}
		var field [13]int
		for i := range field {
			v, err := strconv.ParseUint(string(data[at+6+8*i:at+14+8*i]), 16, 32)
			if err != nil {
				return nil, err
			}
			field[i] = int(v)
		}
		size, nameLen := field[6], field[11]
		body := (at + 110 + nameLen + 3) &^ 3
		end := body + size
		if end > len(data) || data[at+110+nameLen-1] != 0 {
			return nil, fmt.Errorf("entry at %d is cut short", at)
		}
		e := archived{name: string(data[at+110 : at+110+nameLen-1]), ino: field[0], mode: field[1], links: field[4],
			major: field[9], minor: field[10], pos: at, body: string(data[body:end])}
		if field[2] != 0 || field[3] != 0 || field[5] != 0 {
			return nil, fmt.Errorf("%s: owner %d:%d or date %d", e.name, field[2], field[3], field[5])
		}
		if e.name != "TRAILER!!!" {
			list = append(list, e)
		}
		at = (end + 3) &^ 3
	}
	return list, nil
}

// text is a node with content, for tests of archives.
func text(name, content string) node { return bytesNode(name, 0o644, []byte(content)) }

// filesBelow lists regular files below dir.
func filesBelow(t *testing.T, dir string) []string {
	t.Helper()
	var list []string
	err := filepath.WalkDir(dir, func(p string, e fs.DirEntry, err error) error {
		if err == nil && e.Type().IsRegular() {
			list = append(list, p)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}
