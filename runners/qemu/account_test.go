package qemu

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/headwatch/headwatch/runners"
	"github.com/headwatch/headwatch/runners/runnertest"
)

// status reads the lines of /proc/PID/status (proc(5)) that say what a process
// may do.
func status(t *testing.T, pid int) map[string]string {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Skipf("no proc(5) to ask: %v", err)
	}
	lines := make(map[string]string)
	for line := range bytes.Lines(b) {
		name, value, _ := strings.Cut(string(line), ":")
		lines[name] = strings.TrimSpace(value)
	}
	return lines
}

// hidden is a folder below one that only its owner may search.
func hidden(t *testing.T) string {
	t.Helper()
	root := filepath.Join(t.TempDir(), "state")
	dir := filepath.Join(root, "machine")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	return dir
}

// copyTo copies a file to one that only its owner may read.
func copyTo(t *testing.T, dir, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	to := filepath.Join(dir, filepath.Base(path))
	if err := os.WriteFile(to, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return to
}

// QEMU has no privileges, whoever runs headwatch and wherever its files are.
func TestQEMUHasNoPrivileges(t *testing.T) {
	requireQEMU(t)
	t.Parallel()
	b, s := runnertest.LinuxGuest(t), spec(t)
	s.Dir = hidden(t)
	b.Kernel, b.Initrd = copyTo(t, s.Dir, b.Kernel), copyTo(t, s.Dir, b.Initrd)
	b.Disk = filepath.Join(s.Dir, "disk,img")
	if err := os.WriteFile(b.Disk, make([]byte, 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	m := mustBoot(t, b, s)
	st := status(t, m.vm.proc.cmd.Process.Pid)
	for _, name := range []string{"CapInh", "CapPrm", "CapEff", "CapAmb"} {
		if strings.Trim(st[name], "0") != "" {
			t.Errorf("%s: %s", name, st[name])
		}
	}
	if st["NoNewPrivs"] != "1" || st["Seccomp"] != "2" {
		t.Errorf("NoNewPrivs %s, Seccomp %s: want 1 and 2", st["NoNewPrivs"], st["Seccomp"])
	}
	if os.Geteuid() == 0 {
		if slices.Contains(strings.Fields(st["Uid"]+" "+st["Gid"]+" "+st["Groups"]), "0") {
			t.Errorf("Uid %s, Gid %s, Groups %q: want none of root's", st["Uid"], st["Gid"], st["Groups"])
		}
	} else {
		t.Log("not root: QEMU runs as this user")
	}
	for _, path := range []string{b.Kernel, b.Initrd, "disk,,img", "path=console.sock"} {
		if !strings.Contains(m.Facts().Command, path) {
			t.Errorf("command lacks %s: %s", path, m.Facts().Command)
		}
	}
	if entries, _ := filepath.Glob(filepath.Join(s.Dir, "*.sock")); len(entries) != 0 {
		t.Errorf("sockets %v: they had their use", entries)
	}
	if err := m.PowerOff(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestUser(t *testing.T) {
	name, err := New(Config{}).User()
	if err != nil {
		t.Fatal(err)
	}
	if name == "" || name == "root" {
		t.Errorf("QEMU runs as %q", name)
	}
}

// What QEMU is started with differs from what people see by its descriptors only.
func TestHandedCmdline(t *testing.T) {
	o, err := optionsFor(freebsd, runners.Spec{SMP: 1, Memory: 64})
	if err != nil {
		t.Fatal(err)
	}
	o.Binary, o.Accel = "qemu", "tcg"
	shown := o.Cmdline()
	o.handed = descriptors{monitor: 3, console: 4, control: 5, disks: []int{6}}
	var differ []string
	for _, a := range o.Cmdline() {
		if !slices.Contains(shown, a) {
			differ = append(differ, a)
		}
	}
	want := []string{
		"socket,id=monitor,fd=3", "socket,id=console,fd=4", "socket,id=control,fd=5",
		"-add-fd", "fd=6,set=1", "if=none,id=disk0,format=raw,snapshot=on,file=/dev/fdset/1",
	}
	if d := cmp.Diff(want, differ); d != "" {
		t.Error(d)
	}
}

func TestEnvironment(t *testing.T) {
	open, private := filepath.Join(t.TempDir(), "open"), t.TempDir()
	if err := os.Mkdir(open, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(open, 0o1777); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		tmp   string
		other bool
		kept  bool
	}{{open, true, true}, {private, true, false}, {private, false, true}, {"/nonexistent", true, false}} {
		want := []string{"LC_ALL=C", "PATH=/bin"}
		if c.kept {
			want = append(want, "TMPDIR="+c.tmp)
		}
		got := environment([]string{"PATH=/bin", "TOKEN=secret", "LC_ALL=de_DE", "TMPDIR=" + c.tmp}, c.other)
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%+v: %s", c, d)
		}
	}
}

func TestMayRead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "kernel")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	me := &account{"me", uint32(os.Getuid()), uint32(os.Getgid())}
	other := &account{"other", me.uid + 1, me.gid + 1}
	for _, c := range []struct {
		a    *account
		mode os.FileMode
		want bool
	}{{nil, 0o600, true}, {other, 0o600, false}, {other, 0o604, true}, {other, 0o640, false}, {me, 0o600, true}, {me, 0o200, false}} {
		if err := os.Chmod(path, c.mode); err != nil {
			t.Fatal(err)
		}
		st, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if got := c.a.mayRead(st); got != c.want {
			t.Errorf("%+v, mode %o: %v", c.a, c.mode, got)
		}
	}
}
