package disk

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// readFAT walks a FAT16 from its boot sector alone to the content of a file.
func readFAT(b []byte, names ...string) ([]byte, error) {
	le := binary.LittleEndian
	perCluster, reserved, tables := int(b[13]), int(le.Uint16(b[14:])), int(b[16])
	rootEntries, tableSectors := int(le.Uint16(b[17:])), int(le.Uint16(b[22:]))
	sectors := int(le.Uint16(b[19:]))
	if sectors == 0 {
		sectors = int(le.Uint32(b[32:]))
	}
	root := (reserved + tables*tableSectors) * sectorSize
	data := root + rootEntries*32
	clusters := (sectors - data/sectorSize) / perCluster
	if clusters < 4085 || clusters > 65524 {
		return nil, fmt.Errorf("%d clusters are no FAT16", clusters)
	}
	if len(b) != sectors*sectorSize {
		return nil, fmt.Errorf("%d bytes, the boot sector says %d sectors", len(b), sectors)
	}
	first, second := b[reserved*sectorSize:][:tableSectors*sectorSize], b[(reserved+tableSectors)*sectorSize:][:tableSectors*sectorSize]
	if !bytes.Equal(first, second) {
		return nil, fmt.Errorf("the two tables differ")
	}
	chain := func(cluster int) ([]byte, error) {
		var content []byte
		for n := 0; cluster < 0xfff8; n++ {
			if cluster < 2 || cluster >= clusters+2 || n > clusters {
				return nil, fmt.Errorf("cluster %d in a chain", cluster)
			}
			at := data + (cluster-2)*perCluster*sectorSize
			content = append(content, b[at:at+perCluster*sectorSize]...)
			cluster = int(le.Uint16(first[2*cluster:]))
		}
		return content, nil
	}
	folder := b[root:data]
	for _, name := range names {
		at := bytes.Index(folder, []byte(name))
		if at < 0 || at%32 != 0 {
			return nil, fmt.Errorf("no %q", name)
		}
		e := folder[at:]
		content, err := chain(int(le.Uint16(e[26:])))
		if err != nil {
			return nil, fmt.Errorf("%q: %w", name, err)
		}
		if e[11]&0x10 == 0 {
			return content[:le.Uint32(e[28:])], nil
		}
		folder = content
	}
	return folder, nil
}

func TestFATGivesBackTheLoader(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		size := rapid.OneOf(rapid.IntRange(1, 3*sectorSize), rapid.IntRange(1, 6<<20)).Draw(t, "size")
		content := bytes.Repeat([]byte{'A', 'b', 3, 0xff, byte(size)}, size/5+1)[:size]
		f, err := newFAT(fatFile{"BOOT", "BOOTX64.EFI", content})
		if err != nil {
			t.Fatal(err)
		}
		got, err := readFAT(f.bytes(), "EFI        ", "BOOT       ", "BOOTX64 EFI")
		if err != nil || !bytes.Equal(got, content) {
			t.Fatalf("%d of %d bytes, %v", len(got), size, err)
		}
	})
}

func TestFATLimits(t *testing.T) {
	f, err := newFAT(fatFile{"BOOT", "BOOTAA64.EFI", make([]byte, maxFAT)})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := readFAT(f.bytes(), "EFI        ", "BOOT       ", "BOOTAA64EFI"); err != nil || len(got) != maxFAT {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	for _, size := range []int{0, maxFAT + fatMaxFolders*sectorSize} {
		if _, err := newFAT(fatFile{"BOOT", "BOOTX64.EFI", make([]byte, size)}); err == nil {
			t.Errorf("a loader of %d bytes: no error", size)
		}
	}
}

func TestFATFolders(t *testing.T) {
	files := []fatFile{{"BOOT", "BOOTX64.EFI", bytes.Repeat([]byte("boot"), 1000)}, {"FREEBSD", "LOADER.ENV", []byte("console=comconsole\n")},
		{"BOOT", "OTHER.EFI", []byte("other")}}
	f, err := newFAT(files...)
	if err != nil {
		t.Fatal(err)
	}
	for i, path := range [][]string{{"BOOT       ", "BOOTX64 EFI"}, {"FREEBSD    ", "LOADER  ENV"}, {"BOOT       ", "OTHER   EFI"}} {
		got, err := readFAT(f.bytes(), append([]string{"EFI        "}, path...)...)
		if err != nil || !bytes.Equal(got, files[i].content) {
			t.Errorf("%q: %q, %v", path, got, err)
		}
	}
}

func TestOthersReadTheFAT(t *testing.T) {
	fsck, mtype := requireTool(t, "fsck.vfat", "dosfstools"), requireTool(t, "mtype", "mtools")
	for _, size := range []int{1, 900_001, 20 << 20} {
		content := bytes.Repeat([]byte("loader "), size/7+1)[:size]
		f, err := newFAT(fatFile{"BOOT", "BOOTX64.EFI", content})
		if err != nil {
			t.Fatal(err)
		}
		name := filepath.Join(t.TempDir(), "esp")
		if err := os.WriteFile(name, f.bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.CommandContext(t.Context(), fsck, "-n", name).CombinedOutput(); err != nil || strings.Contains(string(out), "differ") {
			t.Errorf("fsck.vfat: %v\n%s", err, out)
		}
		got, err := exec.CommandContext(t.Context(), mtype, "-i", name, "::/EFI/BOOT/BOOTX64.EFI").Output()
		if err != nil || !bytes.Equal(got, content) {
			t.Errorf("mtype: %d of %d bytes, %v", len(got), size, err)
		}
	}
}
