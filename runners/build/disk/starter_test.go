package disk

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func smallStarter(t *testing.T) Starter {
	t.Helper()
	loader := filepath.Join(t.TempDir(), "loader.efi")
	if err := os.WriteFile(loader, []byte("loader"), 0o644); err != nil {
		t.Fatal(err)
	}
	return Starter{Arch: "amd64", Loader: loader, Root: 4, Settings: []Setting{{"kern.hz", "1000"}, {"boot_serial", "NO"}}}
}

func TestStarter(t *testing.T) {
	s := smallStarter(t)
	var disks [2][]byte
	for i := range disks {
		name := filepath.Join(t.TempDir(), "starter")
		if err := s.Write(name); err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		disks[i] = b
	}
	if string(disks[0]) != string(disks[1]) {
		t.Error("equal inputs make other bytes")
	}
	esp := disks[0][align*sectorSize:]
	size := int64(uint32(esp[19])|uint32(esp[20])<<8) * sectorSize
	env, err := readFAT(esp[:size], "EFI        ", "FREEBSD    ", "LOADER  ENV")
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{"rootdev=disk0p4:", "console=comconsole", "kern.hz=1000", "boot_serial=NO"} {
		if strings.Count("\n"+string(env), "\n"+line+"\n") != 1 {
			t.Errorf("not once: %s\n%s", line, env)
		}
	}
}

func TestBadStarters(t *testing.T) {
	for want, change := range map[string]func(*Starter){
		"holds white space":      func(s *Starter) { s.Settings = []Setting{{"a", "b c"}} },
		"control character":      func(s *Starter) { s.Settings = []Setting{{"a", "b\nc"}} },
		"no such file":           func(s *Starter) { s.Loader += "x" },
		`architecture "sparc64"`: func(s *Starter) { s.Arch = "sparc64" },
	} {
		s := smallStarter(t)
		change(&s)
		name := filepath.Join(t.TempDir(), "starter")
		if err := s.Write(name); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: want %q", err, want)
		}
		if _, err := os.Stat(name); err == nil {
			t.Errorf("%s: something was written", want)
		}
	}
}

func TestFindRoot(t *testing.T) {
	for want, parts := range map[int][]partition{
		2: {{kind: typeESP, first: 2048, last: 4095}, {kind: typeUFS, first: 4096, last: 8191}},
		3: {{kind: guid{1}, first: 40, last: 100}, {kind: guid{2}, first: 2048, last: 4095}, {kind: typeUFS, first: 4096, last: 8191}},
		0: {{kind: typeESP, first: 2048, last: 4095}},
	} {
		head, _ := (&table{sectors: 10240, parts: parts}).bytes()
		name := filepath.Join(t.TempDir(), "disk")
		if err := os.WriteFile(name, head, 0o644); err != nil {
			t.Fatal(err)
		}
		got, err := FindRoot(name)
		if got != want || (err == nil) != (want > 0) {
			t.Errorf("partition %d, %v; want %d", got, err, want)
		}
	}
	name := filepath.Join(t.TempDir(), "none")
	if err := os.WriteFile(name, make([]byte, 1<<20), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := FindRoot(name); err == nil {
		t.Error("zeros have a root")
	}
	if _, err := FindRoot(os.DevNull); err == nil {
		t.Error("an empty file has a root")
	}
}
