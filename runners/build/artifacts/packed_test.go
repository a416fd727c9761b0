package artifacts

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// text compresses well and is not all the same.
func text(n int) []byte {
	return bytes.Repeat([]byte("the quick brown fox jumps over the lazy daemon\n"), n/47+1)[:n]
}

func written(t testing.TB, b []byte) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "packed")
	if err := os.WriteFile(name, b, 0o644); err != nil {
		t.Fatal(err)
	}
	return name
}

// tool runs a real packer over b.
func tool(t *testing.T, b []byte, name string, args ...string) []byte {
	t.Helper()
	if _, err := exec.LookPath(name); err != nil {
		t.Skipf("%s is not installed", name)
	}
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Stdin = bytes.NewReader(b)
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %q: %v", name, args, err)
	}
	return out
}

func TestPackedByTheRealTools(t *testing.T) {
	t.Parallel()
	plain := append(text(150_000), noise(1, 100_000)...)
	for _, args := range [][]string{
		{"xz", "-c"}, {"xz", "-c", "-9"}, {"xz", "-c", "--check=none"}, {"xz", "-c", "--check=crc32"}, {"xz", "-c", "--check=sha256"},
		{"xz", "-c", "-T2", "--block-size=60000"}, {"zstd", "-c"}, {"zstd", "-c", "--long=27"},
	} {
		packed := tool(t, plain, args[0], args[1:]...)
		for name, b := range map[string][]byte{"once": packed, "twice": append(bytes.Clone(packed), packed...),
			"with padding": append(bytes.Clone(packed), make([]byte, 8)...)} {
			if args[0] == "zstd" && name == "with padding" {
				continue
			}
			p, err := openPacked(t.Context(), written(t, b))
			if err != nil {
				t.Fatalf("%q %s: %v", args, name, err)
			}
			got, err := io.ReadAll(p)
			want := bytes.Repeat(plain, 1+strings.Count(name, "twice"))
			if err != nil || !bytes.Equal(got, want) {
				t.Errorf("%q %s: %d bytes, %v; want %d", args, name, len(got), err, len(want))
			}
			if args[0] == "xz" && p.size != int64(len(want)) {
				t.Errorf("%q %s: %d bytes announced, want %d", args, name, p.size, len(want))
			}
			p.Close()
		}
	}
}

// TestEveryDamageIsSeen cuts at each byte and flips a bit in each.
func TestEveryDamageIsSeen(t *testing.T) {
	t.Parallel()
	plain := append(text(500), noise(1, 100)...)
	for name, packed := range map[string][]byte{
		"xz": packXZ(t, plain), "zstd": tool(t, plain, "zstd", "-c"),
	} {
		path := written(t, packed)
		if err := checkPacked(t.Context(), path, 1<<20); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		try := func(what string, at int, b []byte) {
			t.Helper()
			if err := os.WriteFile(path, b, 0o644); err != nil {
				t.Fatal(err)
			}
			err := checkPacked(t.Context(), path, 1<<20)
			if !Untestable(err) && !errors.Is(err, errNotPacked) {
				t.Errorf("%s: %s %d: %v", name, what, at, err)
			}
		}
		for i := range packed {
			try("cut before byte", i, packed[:i])
			if name == "zstd" && (i == 4 || i == 5) {
				continue // a spare bit, and a window larger than needed: nothing is damaged
			}
			b := bytes.Clone(packed)
			b[i] ^= 0x10
			try("flipped a bit of byte", i, b)
		}
	}
}

// TestBombs: what a header asks for is not given.
func TestBombs(t *testing.T) {
	small := packXZ(t, text(100))
	dict := bytes.Clone(small)
	head := dict[12 : 12+4*(int(dict[12])+1)]
	at := bytes.Index(head, []byte{0x21, 1}) + 2
	head[at] = 40 // 4 GiB
	binary.LittleEndian.PutUint32(head[len(head)-4:], crc32.ChecksumIEEE(head[:len(head)-4]))
	zeros := make([]byte, 8<<20)
	for _, tt := range []struct {
		name, says string
		packed     []byte
	}{
		{"dictionary", "dictionary of 4294967296 bytes", dict},
		// A first block that is fine does not hide the second.
		{"second dictionary", "dictionary of 4294967296 bytes", append(bytes.Clone(small), dict...)},
		{"xz of zeros", "more than it may", packXZ(t, zeros)},
		{"zstd of zeros", "more than it may", packZstd(t, zeros)},
	} {
		err := checkPacked(t.Context(), written(t, tt.packed), 1<<20)
		if !Untestable(err) || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.says)
		}
	}
}

// TestOtherFilters: the decoder has none but LZMA2, and says so.
func TestOtherFilters(t *testing.T) {
	packed := tool(t, text(5000), "xz", "-c", "--x86", "--lzma2")
	err := checkPacked(t.Context(), written(t, packed), 1<<20)
	if !Untestable(err) || !strings.Contains(err.Error(), "filter other than LZMA2") {
		t.Errorf("%v", err)
	}
}

func TestExpand(t *testing.T) {
	image := make([]byte, 5<<20+4321)
	copy(image[1<<20+77:], noise(1, 10_000))
	copy(image[3<<20:], noise(2, 4096))
	image[len(image)-1] = 1
	for name, packed := range map[string][]byte{"zstd": packZstd(t, image), "xz": packXZ(t, image), "zeros": packZstd(t, image[:1<<20])} {
		want := image
		if name == "zeros" {
			want = image[:1<<20]
		}
		out := filepath.Join(t.TempDir(), "disk.img")
		n, err := Expand(t.Context(), written(t, packed), out, 64<<20)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		got, err := os.ReadFile(out)
		if err != nil || !bytes.Equal(got, want) || n != int64(len(want)) {
			t.Errorf("%s: %d bytes, %v; want %d", name, n, err, len(want))
		}
		if used := allocated(t, out); used > 128<<10 {
			t.Errorf("%s: %d bytes allocated for 14,097 that are not in runs of zeros", name, used)
		}
		whole := written(t, packed)
		for what, args := range map[string]struct {
			path  string
			limit int64
		}{"too large": {whole, 1<<20 - 1}, "cut": {written(t, packed[:len(packed)-5]), 64 << 20}} {
			out := filepath.Join(t.TempDir(), "disk.img")
			if _, err := Expand(t.Context(), args.path, out, args.limit); !Untestable(err) {
				t.Errorf("%s, %s: %v", name, what, err)
			}
			if left, _ := filepath.Glob(out + "*"); len(left) > 0 {
				t.Errorf("%s, %s: left %q", name, what, left)
			}
		}
	}
	_, err := Expand(t.Context(), written(t, packZstd(t, image)), filepath.Join(t.TempDir(), "no", "disk.img"), 64<<20)
	refused(t, err, false, "no such file")
}

func FuzzPacked(f *testing.F) {
	f.Add(packXZ(f, text(300)))
	f.Add(packZstd(f, text(300)))
	f.Fuzz(func(t *testing.T, b []byte) {
		err := checkPacked(t.Context(), written(t, b), 1<<20)
		if err != nil && !Untestable(err) && !errors.Is(err, errNotPacked) {
			t.Errorf("%v", err)
		}
	})
}
