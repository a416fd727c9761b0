package images

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/headwatch/headwatch/runners"
)

// childVar tells a re-executed test binary which part it plays.
const childVar = "HEADWATCH_TEST_CHILD"

func TestMain(m *testing.M) {
	switch os.Getenv(childVar) {
	case "":
		os.Exit(m.Run())
	case "stall":
		childStall(os.Args[1], os.Args[2])
	case "attach":
		childAttach(os.Args[1], os.Args[2], os.Args[3])
	case "full":
		childFull(os.Args[1], mountSmall)
	case "limit":
		childFull(os.Args[1], func(string) error {
			signal.Ignore(syscall.SIGXFSZ)
			return syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: 1 << 20, Max: 1 << 20})
		})
	}
}

func child(t *testing.T, part string, args ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self, args...)
	cmd.Env = append(os.Environ(), childVar+"="+part)
	cmd.Stderr = os.Stderr
	return cmd
}

// childStall puts an image and waits for its end at a given place.
func childStall(dir, place string) {
	stall := func() {
		fmt.Println("here")
		os.Stdin.Read(make([]byte, 1)) // never answered
	}
	s, err := Open(dir)
	if err != nil {
		panic(err)
	}
	passes := 0
	last := Artifact{Role: RoleInitrd, Write: func(w io.Writer) error {
		passes++
		if place == fmt.Sprintf("pass %d", passes) {
			w.Write(noise(8, 1<<20))
			stall()
		}
		_, err := w.Write(noise(9, 1<<20))
		return err
	}}
	_, err = s.Put(context.Background(), testManifest, BytesArtifact(RoleKernel, noise(7, 1<<20)), last)
	if err != nil {
		panic(err)
	}
	stall()
}

func TestKilledInMidPut(t *testing.T) {
	for _, c := range []struct {
		place  string
		images int
	}{
		{"pass 1", 1}, // the kernel is stored, the initrd is being measured
		{"pass 2", 1}, // the initrd is being written
		{"end", 2},
	} {
		dir := t.TempDir()
		s, err := Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		old := mustPut(t, s, BytesArtifact(RoleKernel, []byte("old")))
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		cmd := child(t, "stall", dir, c.place)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := cmd.StdinPipe(); err != nil { // open until the child is gone
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		line, err := bufio.NewReader(out).ReadString('\n')
		if err != nil || line != "here\n" {
			t.Fatalf("%s: child said %q, %v", c.place, line, err)
		}
		cmd.Process.Kill()
		cmd.Wait()
		if c.place == "pass 2" {
			if left := filesBelow(t, filepath.Join(dir, "tmp")); len(left) != 1 {
				t.Errorf("killed while writing, but left %v", left)
			}
		}
		again, err := Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		wantClean(t, again)
		list, err := again.List()
		if err != nil || len(list) != c.images {
			t.Errorf("%s: %d images, %v", c.place, len(list), err)
		}
		if _, err := again.Open(t.Context(), old.ID, t.TempDir()); err != nil {
			t.Error(err)
		}
	}
}

// childFull puts into a store on which little fits, and says what came of it.
// Exit code 77: the limit cannot be set here.
func childFull(dir string, limit func(dir string) error) {
	if err := limit(dir); err != nil {
		fmt.Println(err)
		os.Exit(77)
	}
	ctx := context.Background()
	s, err := Open(filepath.Join(dir, "store"))
	if err != nil {
		panic(err)
	}
	small := BytesArtifact(RoleKernel, []byte("small"))
	img, err := s.Put(ctx, testManifest, small)
	if err != nil {
		panic(err)
	}
	_, err = s.Put(ctx, testManifest, BytesArtifact(RoleKernel, noise(1, 300<<10)), BytesArtifact(RoleInitrd, noise(2, 2<<20)))
	_, rig := errors.AsType[*runners.InfraError](err)
	fmt.Printf("%v|%v\n", rig, err)
	found, err := s.Check(ctx)
	fmt.Println(found, err)
	_, err = s.Open(ctx, img.ID, filepath.Join(dir, "machine"))
	fmt.Println(err)
	var files []string
	err = filepath.WalkDir(s.dir, func(p string, e os.DirEntry, err error) error {
		if err == nil && e.Type().IsRegular() {
			files = append(files, p)
		}
		return err
	})
	fmt.Println(len(files), err)
	os.Exit(0)
}

func TestFullDisk(t *testing.T) {
	for part, want := range map[string]string{
		"full":  "no space left on device; free space there and try again",
		"limit": "file too large",
	} {
		t.Run(part, func(t *testing.T) {
			dir := t.TempDir()
			cmd := child(t, part, dir)
			if part == "full" {
				cmd.SysProcAttr = ownMounts()
			}
			out, err := cmd.Output()
			if errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.ENOSPC) {
				t.Skip("no user namespaces here:", err)
			}
			if cmd.ProcessState != nil && cmd.ProcessState.ExitCode() == 77 {
				t.Skipf("cannot limit the disk here: %s", out)
			}
			if err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			lines := strings.Split(string(out), "\n")
			if len(lines) != 5 || !strings.HasPrefix(lines[0], "true|store image: write "+filepath.Join(dir, "store")) || !strings.HasSuffix(lines[0], want) {
				t.Errorf("put: %s", out)
			}
			// The small image is whole and alone: nothing of the large one is left.
			if got := strings.Join(lines[1:], "\n"); got != "[] <nil>\n<nil>\n2 <nil>\n" {
				t.Errorf("afterwards: %s", got)
			}
		})
	}
}
