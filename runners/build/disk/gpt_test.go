package disk

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func smallTable() *table {
	t := newTable(5<<20+1, 3<<20)
	t.identify([]byte("digest"))
	return t
}

func TestTableIsWhatTheSpecificationSays(t *testing.T) {
	tab := smallTable()
	head, tail := tab.bytes()
	le := binary.LittleEndian
	if tab.sectors != (1+6+3+1)<<20/sectorSize {
		t.Errorf("%d sectors", tab.sectors)
	}
	if head[510] != 0x55 || head[511] != 0xaa || head[446+4] != 0xee || le.Uint32(head[446+12:]) != uint32(tab.sectors-1) {
		t.Errorf("protective MBR % x", head[446:512])
	}
	entries := head[2*sectorSize:]
	if len(entries) != entryBytes || !bytes.Equal(entries, tail[:entryBytes]) {
		t.Error("the two arrays of entries differ")
	}
	for at, h := range map[int64][]byte{1: head[sectorSize : 2*sectorSize], tab.sectors - 1: tail[entryBytes:]} {
		sum := le.Uint32(h[16:])
		clean := bytes.Clone(h[:92])
		clear(clean[16:20])
		if string(h[:8]) != "EFI PART" || sum != crc32.ChecksumIEEE(clean) || le.Uint32(h[88:]) != crc32.ChecksumIEEE(entries) {
			t.Errorf("header at %d: bad signature or sum", at)
		}
		if int64(le.Uint64(h[24:])) != at || int64(le.Uint64(h[32:])) != tab.sectors-at {
			t.Errorf("header at %d says that it is at %d and the other at %d", at, le.Uint64(h[24:]), le.Uint64(h[32:]))
		}
		if !bytes.Equal(h[56:72], tab.id[:]) {
			t.Errorf("header at %d: disk %x", at, h[56:72])
		}
	}
	ids := map[guid]bool{tab.id: true}
	for i, p := range tab.parts {
		if p.first%align != 0 || (p.last+1)%align != 0 || p.last < p.first {
			t.Errorf("partition %d: %d to %d", i, p.first, p.last)
		}
		ids[p.id] = true
	}
	if len(ids) != 3 {
		t.Errorf("identifiers are not distinct: %v", ids)
	}
}

func TestIdentifiersComeFromTheContent(t *testing.T) {
	a, b, c := smallTable(), smallTable(), smallTable()
	c.identify([]byte("another"))
	if a.id != b.id || a.parts[1].id != b.parts[1].id {
		t.Error("the same content, other identifiers")
	}
	if a.id == c.id || a.parts[0].id == c.parts[0].id {
		t.Error("other content, the same identifiers")
	}
}

func TestSgdiskFindsNoFault(t *testing.T) {
	tool := requireTool(t, "sgdisk", "gdisk")
	tab := smallTable()
	head, tail := tab.bytes()
	name := filepath.Join(t.TempDir(), "disk")
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.Write(head); err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt(tail, tab.sectors*sectorSize-int64(len(tail))); err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), tool, "-v", "-p", "-i", "2", name).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, want := range []string{"No problems found", "EF00  headwatch-efi", "A503  headwatch-root", "FreeBSD UFS"} {
		if !strings.Contains(string(out), want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	if strings.Contains(string(out), "Caution") {
		t.Errorf("%s", out)
	}
}

// requireTool finds a program of the system's, which another reader's eyes are.
func requireTool(t *testing.T, name, pkg string) string {
	t.Helper()
	for _, dir := range makefsPlaces {
		if path, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
			return path
		}
	}
	t.Skipf("no %s: install %s", name, pkg)
	return ""
}
