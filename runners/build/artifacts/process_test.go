package artifacts

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/headwatch/headwatch/runners"
)

const (
	childURL   = "HEADWATCH_TEST_ARTIFACTS_URL"
	childCache = "HEADWATCH_TEST_ARTIFACTS_CACHE"
	childImage = "HEADWATCH_TEST_ARTIFACTS_IMAGE"
)

// fetchAsChild is another process, and says how far it is.
func fetchAsChild(base, dir string) int {
	c, err := OpenCache(dir, 64<<20)
	if err != nil {
		fmt.Println(err)
		return 1
	}
	f := NewFetcher(c, Options{Progress: func(p Progress) { fmt.Println(p.Done) }})
	defer f.Close()
	file, err := f.Fetch(context.Background(), Place{base, "main", someCommit, "amd64"}, TestImage)
	fmt.Println(file, err)
	return 0
}

// TestKilledInTheMiddle kills a process that has a part of a file, and expects
// another to go on from there.
func TestKilledInTheMiddle(t *testing.T) {
	s := serve(t, published(t))
	image := s.files[s.path(TestImage)]
	const half = 200_000
	release := make(chan struct{})
	defer close(release)
	s.misbehave(func(n int, w http.ResponseWriter, r *http.Request) bool {
		if n > 1 || !strings.HasSuffix(r.URL.Path, TestImage) {
			return false
		}
		w.Header().Set("ETag", etag(image))
		w.Header().Set("Content-Length", itoa(len(image)))
		_, _ = w.Write(image[:half])
		w.(http.Flusher).Flush()
		select {
		case <-release:
		case <-r.Context().Done():
		}
		return true
	})
	f := fetcher(t, Options{})
	child := exec.CommandContext(t.Context(), os.Args[0])
	child.Env = append(os.Environ(), childURL+"="+s.URL, childCache+"="+f.cache.dir)
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if n, err := strconv.Atoi(lines.Text()); err != nil {
			t.Fatalf("child: %s", lines.Text())
		} else if n == half {
			break
		}
	}
	if err := child.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = child.Wait() // it was killed
	fetched(t, f, s.place(), TestImage, image)
	if got := s.requests(TestImage); len(got) != 2 || got[1] != "disk-test.img.zst from 200000" {
		t.Errorf("requests %q: want the second to go on from %d", got, half)
	}
	for _, dir := range []string{"parts", "tmp"} {
		if left, err := filepath.Glob(filepath.Join(f.cache.dir, dir, "*")); len(left) > 0 || err != nil {
			t.Errorf("left in %s: %q, %v", dir, left, err)
		}
	}
}

// fillDisk is a process with a small disk of its own at dir.
func fillDisk(base, image, dir string) int {
	ctx := context.Background()
	c, err := OpenCache(filepath.Join(dir, "cache"), 1<<30)
	if err != nil {
		fmt.Println(err)
		return 1
	}
	f := NewFetcher(c, Options{})
	defer f.Close()
	_, fetch := f.Fetch(ctx, Place{base, "main", someCommit, "amd64"}, TestImage)
	out := filepath.Join(dir, "disk.img")
	_, expand := Expand(ctx, image, out, 1<<30)
	for _, err := range []error{fetch, expand} {
		var infra *runners.InfraError
		fmt.Println(errors.As(err, &infra), err)
	}
	if left, err := filepath.Glob(out + "*"); len(left) > 0 || err != nil {
		fmt.Println("left", left, err)
	}
	return 0
}

// TestFullDisk mounts a disk of 24 MiB, of which 16 must stay free, in a
// namespace of its own. The file to fetch has 12 MiB and the image 28.
func TestFullDisk(t *testing.T) {
	dir := t.TempDir()
	const mount = `mount -t tmpfs -o size=24m none "$0" && exec "$@"`
	if out, err := exec.Command("unshare", "-rm", "sh", "-c", mount, dir, "true").CombinedOutput(); err != nil {
		t.Skipf("cannot mount a tmpfs in a namespace of our own: %v %s", err, out)
	}
	s := serve(t, published(t))
	s.files[s.path(TestImage)] = noise(1, 12<<20)
	image := written(t, packZstd(t, noise(2, 28<<20)))
	child := exec.CommandContext(t.Context(), "unshare", "-rm", "sh", "-c", mount, dir, os.Args[0])
	child.Env = append(os.Environ(), childURL+"="+s.URL, childCache+"="+dir, childImage+"="+image)
	out, err := child.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	if len(lines) != 2 {
		t.Fatalf("%d lines, want an error each of fetching and expanding:\n%s", len(lines), out)
	}
	for i, says := range []string{"bytes free", "no space left on device"} {
		if !strings.HasPrefix(lines[i], "true ") || !strings.Contains(lines[i], says) || !strings.HasSuffix(lines[i], "use a folder on another") {
			t.Errorf("%s: want %q and what to do", lines[i], says)
		}
	}
}
