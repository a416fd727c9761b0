package qemu

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/headwatch/headwatch/runners"
	"github.com/headwatch/headwatch/runners/console"
	"github.com/headwatch/headwatch/runners/runnertest"
)

// A machine that has not run yet is confined already.
func TestConfined(t *testing.T) {
	requireQEMU(t)
	b := runnertest.LinuxGuest(t)
	r := New(Config{})
	s := runners.Spec{SMP: 2, Memory: 128, Accel: "tcg", Dir: t.TempDir(), ConsoleLog: console.New(console.Options{}),
		NICs: []runners.NIC{{Model: "virtio-net", Link: "user"}}}
	o, err := r.options(t.Context(), &b, s)
	if err != nil {
		t.Fatal(err)
	}
	v, err := startVM(t.Context(), o, substance{}, s.Dir, s.ConsoleLog, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		v.stop()
		<-v.done
		v.unplug()
		v.control.Close()
	}()
	proc := fmt.Sprintf("/proc/%d/", v.proc.cmd.Process.Pid)
	read := func(name string) string {
		text, err := os.ReadFile(proc + name)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	status := read("status")
	// Seccomp is 2 where a filter judges each system call (proc(5)).
	for _, want := range []string{`\nSeccomp:\t2\n`, `\nCapEff:\t0+\n`} {
		if !regexp.MustCompile(want).MatchString(status) {
			t.Errorf("status lacks %q:\n%s", want, status)
		}
	}
	if strings.Contains(status, "\nUid:\t0") {
		t.Error("QEMU is root")
	}
	if group, err := unix.Getpgid(v.proc.cmd.Process.Pid); err != nil || group != v.proc.cmd.Process.Pid {
		t.Errorf("process group %d, %v", group, err)
	}
	theirs, err := os.Readlink(proc + "ns/net")
	if err != nil {
		t.Fatal(err)
	}
	ours, err := os.Readlink("/proc/self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	if off := r.fence().off; off != nil {
		t.Logf("no network namespace here: %v", off)
	} else if ours == theirs {
		t.Error("QEMU is in our network namespace")
	}
	have, want := read("limits"), o.limits(0)
	for name, value := range map[string]uint64{"Max address space": want.memory, "Max open files": want.files, "Max core file size": 0} {
		if !regexp.MustCompile(fmt.Sprintf(`%s +%d +%[2]d? `, name, value)).MatchString(have) {
			t.Errorf("%s is not %d:\n%s", name, value, have)
		}
	}
	if regexp.MustCompile(`Max file size +unlimited`).MatchString(have) {
		t.Errorf("files have no limit:\n%s", have)
	}
}

// What writes more than it may is ended, and its end says why.
func TestFileLimit(t *testing.T) {
	dir := t.TempDir()
	in, out := filepath.Join(dir, "in"), filepath.Join(dir, "out")
	if err := unix.Mkfifo(in, 0o600); err != nil {
		t.Fatal(err)
	}
	dd, err := exec.LookPath("dd")
	if err != nil {
		t.Skip(err)
	}
	p, err := startProcess([]string{dd, "if=" + in, "of=" + out, "bs=4096"}, nil, fence{}, limits{file: 64 << 10})
	if err != nil {
		t.Fatal(err)
	}
	defer p.kill()
	f, err := os.OpenFile(in, os.O_WRONLY, 0) // waits for dd
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.Write(bytes.Repeat([]byte("x"), 256<<10))
	if closed := f.Close(); err != nil && !errors.Is(err, syscall.EPIPE) || closed != nil {
		t.Errorf("write: %v, %v", err, closed)
	}
	<-p.done
	if p.err == nil || !strings.Contains(p.err.Error(), "file size limit exceeded") {
		t.Errorf("it ended with %v", p.err)
	}
	if st, err := os.Stat(out); err != nil || st.Size() != 64<<10 {
		t.Errorf("%v, %v", st, err)
	}
}

func TestProtections(t *testing.T) {
	requireQEMU(t)
	all, err := New(Config{}).Protections(t.Context())
	if err != nil || len(all) != 2 {
		t.Fatalf("%v, %v", all, err)
	}
	for _, p := range all {
		t.Logf("%s: off %v", p.Name, p.Off)
	}
	if all[0].Off != nil {
		t.Errorf("%v", all)
	}
}

// Root's QEMU runs as a user who must be able to execute it.
func TestForbiddenBinary(t *testing.T) {
	user, err := unprivileged()
	if err != nil || user == nil {
		t.Skip("only root's QEMU runs as another user")
	}
	binary := filepath.Join(t.TempDir(), "qemu")
	if err := os.WriteFile(binary, []byte("#!/bin/sh\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	o := Options{Binary: binary, Accel: "tcg", SMP: 1, Memory: 128, Kernel: os.Args[0]}
	_, err = startVM(t.Context(), o, substance{}, t.TempDir(), console.New(console.Options{}), slog.New(slog.DiscardHandler))
	infra, ok := errors.AsType[*runners.InfraError](err)
	if !ok || infra.Op != "start "+binary || !strings.Contains(infra.Hint, user.name) {
		t.Errorf("%v (%+v)", err, infra)
	}
}
