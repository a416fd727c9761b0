package qemu

import (
	"flag"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/headwatch/headwatch/runners"
)

var update = flag.Bool("update", false, "rewrite the golden files")

var linux = runners.Bootable{
	Image:  runners.Image{OS: "linux", Arch: "amd64"},
	Kernel: "/images/a/vmlinuz", Initrd: "/images/a/initrd", Cmdline: "slab_nomerge quiet",
}

var freebsd = runners.Bootable{Image: runners.Image{OS: "freebsd", Arch: "amd64"}, Disk: "/images/b,c/disk.img"}

// linuxDisk has a kernel to boot directly: no firmware looks at its disk.
var linuxDisk = runners.Bootable{Image: linux.Image, Kernel: linux.Kernel, Disk: freebsd.Disk}

func TestCmdline(t *testing.T) {
	for name, c := range map[string]struct {
		b      runners.Bootable
		s      runners.Spec
		accel  string
		person bool
		flash  bool // firmware as code only
		ram    bool // a machine that is going to be frozen
		clone  bool
	}{
		"linux": {b: linux, s: runners.Spec{SMP: 2, Memory: 256}, accel: "tcg"},
		"linux_serial_nics": {b: linux, accel: "kvm", s: runners.Spec{
			SMP: 4, Memory: 1024, Control: "serial", ExtraArgs: []string{"-d", "guest_errors"},
			NICs:   []runners.NIC{{Model: "virtio-net", Link: "user"}, {Model: "e1000e", Link: "user", MAC: "52:54:00:00:00:01"}},
			Commit: "0123456789abcdef0123456789abcdef01234567",
		}},
		"linux_lines":   {b: linux, s: runners.Spec{SMP: 2, Memory: 256, Lines: []string{"uart", "virtio"}}, accel: "tcg"},
		"lines_person":  {b: linux, s: runners.Spec{SMP: 2, Memory: 256, Lines: []string{"uart", "virtio"}}, accel: "tcg", person: true},
		"freebsd":       {b: freebsd, s: runners.Spec{SMP: 1, Memory: 512}, accel: "tcg"},
		"freebsd_flash": {b: freebsd, s: runners.Spec{SMP: 1, Memory: 512}, accel: "tcg", flash: true},
		"linux_disk":    {b: linuxDisk, s: runners.Spec{SMP: 1, Memory: 512}, accel: "tcg"},
		"template":      {b: linux, s: runners.Spec{SMP: 2, Memory: 512, NICs: []runners.NIC{{Model: "virtio-net", Link: "wire"}}}, accel: "tcg", ram: true},
		"template_disk": {b: freebsd, s: runners.Spec{SMP: 1, Memory: 512}, accel: "tcg", ram: true},
		"clone":         {b: linux, s: runners.Spec{SMP: 2, Memory: 512, NICs: []runners.NIC{{Model: "virtio-net", Link: "wire"}}}, accel: "tcg", ram: true, clone: true},
		"clone_disk":    {b: freebsd, s: runners.Spec{SMP: 1, Memory: 512}, accel: "tcg", ram: true, clone: true},
		"wire_person":   {b: linux, s: runners.Spec{SMP: 2, Memory: 512, NICs: []runners.NIC{{Model: "virtio-net", Link: "wire"}}}, accel: "tcg", person: true},
		"linux_person":  {b: linux, s: runners.Spec{SMP: 2, Memory: 256}, accel: "tcg", person: true},
	} {
		t.Run(name, func(t *testing.T) {
			o, err := optionsFor(c.b, c.s)
			if err != nil {
				t.Fatal(err)
			}
			o.Binary, o.Accel, o.Person = "qemu-system-x86_64", c.accel, c.person
			if o.fromDisk() {
				o.Firmware = Firmware{Path: "/firmware/a,b.fd", Code: c.flash}
			}
			if o.Clone = c.clone; c.ram {
				o.RAM = ramName
				if len(o.Disks) > 0 {
					o.Overlay = overlayName
				}
			}
			got := strings.Join(o.Cmdline(), "\n") + "\n"
			golden := "testdata/" + name + ".golden"
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(string(want), got); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestBadRequests(t *testing.T) {
	good := runners.Spec{SMP: 1, Memory: 128}
	for want, change := range map[string]func(*runners.Bootable, *runners.Spec){
		`architecture "arm64"`:        func(b *runners.Bootable, _ *runners.Spec) { b.Image.Arch = "arm64" },
		`operating system "plan9"`:    func(b *runners.Bootable, _ *runners.Spec) { b.Image.OS = "plan9" },
		"neither a kernel nor a disk": func(b *runners.Bootable, _ *runners.Spec) { b.Kernel = "" },
		"0 virtual CPUs":              func(_ *runners.Bootable, s *runners.Spec) { s.SMP = 0 },
		"memory of 0 MiB":             func(_ *runners.Bootable, s *runners.Spec) { s.Memory = 0 },
		`control channel "telepathy"`: func(_ *runners.Bootable, s *runners.Spec) { s.Control = "telepathy" },
		`nic 0: link "rope"`:          func(_ *runners.Bootable, s *runners.Spec) { s.NICs = []runners.NIC{{Model: "e1000", Link: "rope"}} },
		`nic 0: model "e1000,addr=3"`: func(_ *runners.Bootable, s *runners.Spec) {
			s.NICs = []runners.NIC{{Model: "e1000,addr=3", Link: "user"}}
		},
		"nic 0: mac=x: want the address of one station": func(_ *runners.Bootable, s *runners.Spec) {
			s.NICs = []runners.NIC{{Model: "e1000", Link: "user", MAC: "x"}}
		},
	} {
		b, s := linux, good
		change(&b, &s)
		if _, err := optionsFor(b, s); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

func TestQuoteSurvivesAShell(t *testing.T) {
	argv := []string{"printf", "%s\n", "plain", "", "two words", "it's", "$HOME `id` \"x\" \\", "a;b|c&d*?[]{}~#"}
	out, err := exec.CommandContext(t.Context(), "sh", "-c", Quote(argv)).Output()
	if err != nil {
		t.Fatal(err)
	}
	if want := strings.Join(argv[2:], "\n") + "\n"; string(out) != want {
		t.Errorf("got %q, want %q", out, want)
	}
}

func TestParseDevices(t *testing.T) {
	help := "Storage devices:\nname \"nvme\", bus PCI\n\nNetwork devices:\n" +
		"name \"e1000\", bus PCI, alias \"e1000-82540em\", desc \"Intel Gigabit Ethernet\"\nname \"ne2k_isa\", bus ISA\n" +
		"name \"usb-net\", bus usb-bus\nname \"virtio-net-device\", bus virtio-bus\nname \"virtio-net-pci\", bus PCI, alias \"virtio-net\"\n" +
		"name \"virtio-net-pci-transitional\", bus PCI\nname \"vmxnet3\", bus PCI, desc \"VMWare\"\n\nInput devices:\nname \"tablet\", bus PCI\n"
	if d := cmp.Diff([]string{"e1000", "virtio-net", "vmxnet3"}, parseDevices(help)); d != "" {
		t.Error(d)
	}
	if got := parseDevices("nothing"); got != nil {
		t.Errorf("got %v", got)
	}
}

func TestParseFlags(t *testing.T) {
	text := "processor\t: 0\nvendor_id\t: GenuineIntel\nflags\t\t: fpu vme pcid\nbugs\t\t: x\n\nprocessor\t: 1\nflags\t\t: fpu\n"
	if d := cmp.Diff([]string{"fpu", "vme", "pcid"}, parseFlags(text)); d != "" {
		t.Error(d)
	}
	if got := parseFlags("Features : half"); got != nil {
		t.Errorf("got %q", got)
	}
}

func TestParseVersion(t *testing.T) {
	if v, err := parseVersion("QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg)\nCopyright"); v != "7.2.22" || err != nil {
		t.Errorf("%q, %v", v, err)
	}
	if _, err := parseVersion("bash: no"); err == nil {
		t.Error("no error")
	}
}
