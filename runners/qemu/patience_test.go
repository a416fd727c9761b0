package qemu

import (
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/headwatch/headwatch/runners"
	"github.com/headwatch/headwatch/runners/console"
	"github.com/headwatch/headwatch/runners/runnertest"
)

func TestPatienceForEachPhase(t *testing.T) {
	for p := console.NoOutput; p <= console.Debugger; p++ {
		if patience[p] < time.Second {
			t.Errorf("phase %q: %v", p.Title(), patience[p])
		}
	}
	if got := limitIn(console.Kernel, 3); got != 3*patience[console.Kernel] {
		t.Errorf("at a third of the pace: %v", got)
	}
}

func TestPaceOf(t *testing.T) {
	for took, want := range map[time.Duration]float64{
		0: slowestIO, loopReference / 100: slowestIO, loopReference: 1, 2 * loopReference: 2, 1000 * loopReference: worstPace,
	} {
		if got := paceOf(took); got != want {
			t.Errorf("%v: %v, want %v", took, got, want)
		}
	}
}

func TestProgress(t *testing.T) {
	t0 := time.Unix(1000, 0)
	var p progress
	for i, c := range []struct {
		phase        console.Phase
		news         int64
		now, starved int // seconds
		want         int
	}{
		{console.NoOutput, 0, 0, 0, 0},
		{console.NoOutput, 0, 9, 0, 9},
		{console.Loader, 100, 10, 0, 0}, // another phase
		{console.Loader, 100, 20, 4, 6}, // 4 s were the host's fault
		{console.Loader, 101, 21, 4, 0}, // a word
		{console.Loader, 101, 31, 4, 10},
	} {
		if got := p.stuck(c.phase, c.news, t0.Add(time.Duration(c.now)*time.Second), time.Duration(c.starved)*time.Second); got != time.Duration(c.want)*time.Second {
			t.Errorf("step %d: %v, want %d s", i, got, c.want)
		}
	}
}

// sayByte is the length of the code that says a byte.
const sayByte = 7

// multiboot is a kernel for QEMU's -kernel of a few instructions that say something on
// the first UART before. Multiboot 0.6.96, 3.1.1: the header has the addresses.
func multiboot(t *testing.T, says string, code ...byte) runners.Bootable {
	t.Helper()
	const at, header = 0x100000, 32
	var text []byte
	for _, c := range []byte(says) {
		text = append(text, 0x66, 0xba, 0xf8, 0x03, 0xb0, c, 0xee) // mov dx, 3f8; mov al, c; out dx, al: sayByte
	}
	text = append(text, code...)
	b := make([]byte, header, header+len(text))
	const magic, flags = 0x1badb002, 1 << 16
	for i, v := range []uint32{magic, flags, -(magic + flags) & 0xffffffff, at, at, uint32(at + header + len(text)), 0, at + header} {
		binary.LittleEndian.PutUint32(b[4*i:], v)
	}
	name := filepath.Join(t.TempDir(), "kernel")
	if err := os.WriteFile(name, append(b, text...), 0o644); err != nil {
		t.Fatal(err)
	}
	return runners.Bootable{Image: runners.Image{ID: "sha256:test", OS: "linux", Arch: "amd64"}, Kernel: name}
}

// repeats is a kernel that says the same line for ever, some times a second.
func repeats(t *testing.T) runners.Bootable {
	const line = "Root mount waiting for: CAM\r\n"
	code := []byte{0xb9, 0, 0, 0, 4, 0x49, 0x75, 0xfd, 0xe9} // mov ecx, 4000000; dec ecx; jnz; jmp
	b := multiboot(t, "Linux version 0\r\n"+line, append(code, 0, 0, 0, 0)...)
	text, err := os.ReadFile(b.Kernel)
	if err != nil {
		t.Fatal(err)
	}
	back := -(len(line)*sayByte + len(code) + 4)
	binary.LittleEndian.PutUint32(text[len(text)-4:], uint32(int32(back)))
	if err := os.WriteFile(b.Kernel, text, 0o644); err != nil {
		t.Fatal(err)
	}
	return b
}

var (
	halts  = []byte{0xfa, 0xf4, 0xeb, 0xfd}                                     // cli; hlt; jmp
	spins  = []byte{0xeb, 0xfe}                                                 // jmp to itself
	faults = []byte{0x6a, 0x00, 0x6a, 0x00, 0x0f, 0x01, 0x1c, 0x24, 0xcd, 0x03} // push 0; push 0; lidt [esp]; int3: nobody handles it
)

// Guests that do not come up are called by the phase in which they stay, and asked where
// they are.
func TestBootsThatStop(t *testing.T) {
	requireQEMU(t)
	guest := func(option string) func(t *testing.T) runners.Bootable {
		return func(t *testing.T) runners.Bootable {
			b := runnertest.LinuxGuest(t)
			b.Cmdline += " " + option
			return b
		}
	}
	code := func(says string, code []byte) func(t *testing.T) runners.Bootable {
		return func(t *testing.T) runners.Bootable { return multiboot(t, says, code...) }
	}
	for name, c := range map[string]struct {
		boot    func(t *testing.T) runners.Bootable
		title   string // its beginning
		reason  string // a part
		console string // a part
	}{
		"halts at once":                   {code("", halts), "hang: no output at all", "nothing new for", "cpu0 at 0x00100022 with interrupts off, halted (10 of 10)"},
		"spins after the kernel's banner": {code("Linux version 0\r\n", spins), "hang: kernel started, no init", "nothing new for", "no word to a non-maskable interrupt"},
		"says the same for ever":          {repeats, "hang: stopped while mounting root", "nothing new for", "Root mount waiting for: CAM"},
		"resets at once":                  {code("", faults), "reset loop before any output", "guest ended by itself (guest-reset)", ""},
		"resets in the kernel":            {code("Linux version 0\r\n", faults), "reset loop in the kernel, before init", "another boot did the same", ""},
		"an agent that says nothing":      {guest(runnertest.Silent), "hang: kernel started, agent silent", "nothing new for", "NMI"},
		"userland resets":                 {guest(runnertest.Resets), "reset loop in userland, before the agent", "another boot did the same", "Resetting"},
		"a disk without anything": {func(t *testing.T) runners.Bootable {
			disk := filepath.Join(t.TempDir(), "disk")
			if err := os.WriteFile(disk, make([]byte, 1<<20), 0o644); err != nil {
				t.Fatal(err)
			}
			return runners.Bootable{Image: runners.Image{ID: "sha256:test", OS: "freebsd", Arch: "amd64"}, Disk: disk}
		}, "hang: stopped in the firmware", "nothing new for", "cpu0 at 0x"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := New(Config{})
			r.paces = map[string]float64{"tcg": 0.1} // a test waits a tenth as long
			s := spec(t)
			s.Accel = "tcg"
			_, err := r.Boot(t.Context(), c.boot(t), s)
			boot, ok := errors.AsType[*runners.BootError](err)
			if !ok || !strings.HasPrefix(boot.Title, c.title) || !strings.Contains(boot.Reason, c.reason) {
				t.Errorf("%v\nwant %s: ... %s", err, c.title, c.reason)
			}
			if tail := s.ConsoleLog.Tail(64 << 10); !strings.Contains(tail, c.console) {
				t.Errorf("the console has no %q:\n%s", c.console, tail)
			}
		})
	}
}
