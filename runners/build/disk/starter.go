package disk

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/google/renameio/v2"
)

// Starter is a disk with nothing but a boot loader, which boots what lies on
// another disk and leaves that as it is: one that has no loader for this firmware,
// or whose loader does not speak on the first UART.
type Starter struct {
	Arch   string // "amd64" or "arm64"
	Loader string // host path of loader.efi
	// Root is the number of the partition to boot, from 1, on the machine's first disk.
	Root     int
	Settings []Setting // for loader and kernel, before the other disk's loader.conf
}

// Write makes the disk at name. Its loader finds its settings in
// efi/freebsd/loader.env (loader.efi(8)), whose values hold no white space.
func (s Starter) Write(name string) error {
	if err := s.write(name); err != nil {
		return fmt.Errorf("write disk %s: %w", name, err)
	}
	return nil
}

func (s Starter) write(name string) error {
	if removable[s.Arch] == "" {
		return fmt.Errorf("architecture %q: want amd64 or arm64", s.Arch)
	}
	loader, err := os.ReadFile(s.Loader)
	if err != nil {
		return err
	}
	env, err := s.env()
	if err != nil {
		return err
	}
	esp, err := newFAT(fatFile{"BOOT", removable[s.Arch], loader}, fatFile{"FREEBSD", "LOADER.ENV", env})
	if err != nil {
		return fmt.Errorf("loader %s: %w", s.Loader, err)
	}
	t := newTable(esp.size(), 0)
	content := esp.bytes()
	sum := sha256.Sum256(content)
	t.identify(sum[:])
	head, tail := t.bytes()
	b := make([]byte, t.sectors*sectorSize)
	copy(b, head)
	copy(b[t.parts[0].first*sectorSize:], content)
	copy(b[len(b)-len(tail):], tail)
	return renameio.WriteFile(name, b, 0o644)
}

// env is one setting a line, as boot_parse_cmdline() of the loader reads it.
func (s Starter) env() ([]byte, error) {
	settings := []Setting{
		{"rootdev", fmt.Sprintf("disk0p%d:", s.Root)},
		{"autoboot_delay", "-1"},
		{"beastie_disable", "YES"},
		{"boot_serial", "YES"},
	}
	settings = append(settings, underTest...)
	if s.Arch == "amd64" {
		settings = append(settings, serialPorts...)
	}
	var b bytes.Buffer
	for _, own := range merge(settings, s.Settings) {
		if _, err := own.quoted(); err != nil {
			return nil, fmt.Errorf("loader setting %.100q: %w", own.Name, err)
		}
		if strings.ContainsAny(own.Value, " \t\"'\\") {
			return nil, fmt.Errorf("loader setting %s: value %q: holds white space, a quote or a backslash, which loader.env cannot", own.Name, own.Value)
		}
		fmt.Fprintf(&b, "%s=%s\n", own.Name, own.Value)
	}
	return b.Bytes(), nil
}

// FindRoot is the number of the first UFS partition of the GPT disk at name, from 1.
func FindRoot(name string) (int, error) {
	f, err := os.Open(name)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	head := make([]byte, 2*sectorSize+entryBytes)
	if _, err := f.ReadAt(head, 0); err != nil {
		return 0, fmt.Errorf("%s: partition table: %w", name, err)
	}
	h := head[sectorSize:]
	le := binary.LittleEndian
	if !bytes.HasPrefix(h, []byte("EFI PART")) || le.Uint64(h[72:]) != 2 || le.Uint32(h[84:]) != entrySize {
		return 0, fmt.Errorf("%s: no GUID partition table where one is wanted", name)
	}
	for i := range min(int(le.Uint32(h[80:])), entryCount) {
		if e := head[2*sectorSize+i*entrySize:]; bytes.Equal(e[:16], typeUFS[:]) {
			return i + 1, nil
		}
	}
	return 0, errors.New(name + ": no UFS partition")
}
