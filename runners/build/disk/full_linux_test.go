package disk

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// A file system that fills up leaves an earlier disk as it was, and no half one.
func TestFullFileSystem(t *testing.T) {
	requireMakefs(t)
	dir := t.TempDir()
	for _, kib := range []int{512, 2048, 3000, 5000} {
		if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%dk", kib)); err != nil {
			t.Skipf("mount a small file system: %v", err)
		}
		name := filepath.Join(dir, "disk")
		err := os.WriteFile(name, []byte("an earlier disk"), 0o644)
		if err == nil {
			err = Write(t.Context(), name, fixture(t), io.Discard)
			onlyThere(t, dir, "disk")
			if b, _ := os.ReadFile(name); string(b) != "an earlier disk" {
				t.Errorf("%d KiB: the earlier disk is now of %d bytes", kib, len(b))
			}
		}
		if umount := syscall.Unmount(dir, 0); umount != nil {
			t.Fatal(umount)
		}
		if err == nil || !strings.Contains(strings.ToLower(err.Error()), "no space left on device") || !strings.Contains(err.Error(), "write disk "+name) {
			t.Errorf("%d KiB: %v", kib, err)
		}
	}
}
