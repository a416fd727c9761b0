package qemu

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/headwatch/headwatch/runners"
)

func TestFindFirmware(t *testing.T) {
	dir := t.TempDir()
	binary := filepath.Join(dir, "bin", "qemu-system-x86_64")
	places := []Firmware{{Path: filepath.Join(dir, "none.fd")}, {Path: filepath.Join(dir, "whole.fd")}, {Path: filepath.Join(dir, "code.fd"), Code: true}}
	find := func(want string, code bool) {
		t.Helper()
		f, err := findFirmware(binary, places)
		if err != nil || filepath.Base(f.Path) != want || f.Code != code {
			t.Errorf("%+v, %v: want %s", f, err, want)
		}
	}
	put := func(name string) {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}

	if err := os.Mkdir(places[1].Path, 0o755); err != nil { // a folder is no firmware
		t.Fatal(err)
	}
	_, err := findFirmware(binary, places)
	if infra, ok := errors.AsType[*runners.InfraError](err); !ok || !strings.Contains(infra.Hint, "install ovmf") {
		t.Errorf("%T %v: want a hint", err, err)
	}
	put("share/qemu/edk2-x86_64-code.fd")
	find("edk2-x86_64-code.fd", true)
	put("code.fd")
	find("code.fd", true)
	if err := os.Remove(places[1].Path); err != nil {
		t.Fatal(err)
	}
	put("whole.fd")
	find("whole.fd", false)
}

// A machine without a kernel gets as far as its firmware, which tries the disk
// first, here one with nothing on it.
func TestBootOfAnEmptyDisk(t *testing.T) {
	requireQEMU(t)
	r := New(Config{})
	binary, err := r.binary()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := findFirmware(binary, firmwares); err != nil {
		t.Skip(err)
	}
	t.Parallel()
	b := freebsd
	b.Disk = filepath.Join(t.TempDir(), "disk,img")
	if err := os.WriteFile(b.Disk, make([]byte, 1<<20), 0o644); err != nil {
		t.Fatal(err)
	}
	s := spec(t)
	s.SMP = 1
	ctx, cancel := context.WithCancelCause(t.Context())
	spoke := errors.New("the firmware has tried the disk")
	s.ConsoleLog = &listener{Console: s.ConsoleLog, words: "BdsDxe: failed to load Boot0001", heard: func() { cancel(spoke) }}
	m, err := r.Boot(ctx, b, s)
	if err == nil {
		m.Close()
	}
	if !errors.Is(err, spoke) {
		t.Errorf("%v\nconsole: %q", err, s.ConsoleLog.Tail(4096))
	}
	if entries, _ := os.ReadDir(s.Dir); len(entries) != 0 {
		t.Errorf("left behind: %v", entries)
	}
}

// listener is a console that waits for words.
type listener struct {
	runners.Console
	words string
	heard func()
}

func (l *listener) Write(p []byte) (int, error) {
	n, err := l.Console.Write(p)
	if strings.Contains(l.Tail(4096), l.words) {
		l.heard()
	}
	return n, err
}
