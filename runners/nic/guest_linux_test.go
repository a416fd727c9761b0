package nic

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// TestInGuest passes a NIC through for real; see TestPassthrough.
func TestInGuest(t *testing.T) {
	if os.Getenv(guestVariable) == "" {
		t.Skip("runs in the guest of TestPassthrough: make test-vfio")
	}
	var s System
	candidates, err := s.Candidates()
	if err != nil {
		t.Fatal(err)
	}
	if len(candidates) != 2 {
		t.Fatalf("candidates: %+v", candidates)
	}
	for _, c := range candidates {
		if len(c.Obstacles) != 0 || c.Driver != "e1000e" || c.Group == noGroup || len(c.Interfaces) != 1 || !c.Reset {
			t.Fatalf("candidate: %+v", c)
		}
	}
	one, two := candidates[0], candidates[1]
	t.Run("cable", func(t *testing.T) { guestCable(t, one, two) })
	t.Run("bind", func(t *testing.T) { guestBind(t, one) })
	t.Run("killed", func(t *testing.T) { guestKilled(t, one, two) })
	t.Run("killed at any time", func(t *testing.T) { guestKilledOften(t, one, two) })
	links := s.TryLinks(candidates)
	if v := links[len(links)-1]; v.Link != VFIO || v.Problem != "" {
		t.Errorf("link: %+v", v)
	}
}

// guestCable sends frames from port to port of two real drivers.
func guestCable(t *testing.T, one, two Candidate) {
	var s System
	a, err := s.OpenPort(one.Interfaces[0].Name, 9000)
	if err != nil {
		t.Fatal(err)
	}
	b, err := s.OpenPort(two.Interfaces[0].Name, 9000)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for _, p := range []*Port{a, b} {
		if err := p.AwaitCarrier(ctx); err != nil {
			t.Fatal(err)
		}
	}
	long := strings.Repeat("z", 8000)
	if err := a.WriteFrame(testFrame(long)); err != nil {
		t.Fatal(err)
	}
	if got := hear(t, b); got != long {
		t.Errorf("heard %d bytes, want %d", len(got), len(long))
	}
	for _, p := range []*Port{a, b} {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	}
	asBefore(t, one, two)
}

// asBefore says whether the host has its devices again as they were.
func asBefore(t *testing.T, want ...Candidate) {
	t.Helper()
	got, err := System{}.Candidates()
	if err != nil {
		t.Fatal(err)
	}
	for i, c := range got {
		if i < len(want) && (c.Driver != want[i].Driver || c.Override != "" || len(c.Interfaces) != 1 || c.Interfaces[0].Up) {
			t.Errorf("before:\n%+v\nafter:\n%+v", want[i], c)
		}
	}
	if len(got) != len(want) {
		t.Errorf("%d devices, want %d", len(got), len(want))
	}
}

// guestBind opens the device as QEMU does, and gives it back.
func guestBind(t *testing.T, c Candidate) {
	var s System
	dir := t.TempDir()
	b, err := s.Bind(t.Context(), dir, c.Address)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := net.InterfaceByName(c.Interfaces[0].Name); err == nil {
		t.Errorf("the host still has %s", c.Interfaces[0].Name)
	}
	if err := b.Grant(65534, 65534); err != nil {
		t.Error(err)
	}
	closeGroup, err := openGroup(b.GroupFile(), c.Address)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*releasePoll)
	defer cancel()
	if err := s.awaitRelease(ctx, c.Group); err == nil || !strings.Contains(err.Error(), "is held open by process") {
		t.Errorf("an open group: %v", err)
	}
	closeGroup()
	if err := b.Restore(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(b.GroupFile()); err == nil {
		t.Errorf("%s is still there", b.GroupFile())
	}
	if left, err := Leftovers(dir); err != nil || len(left) != 0 {
		t.Errorf("left-overs: %v, %v", left, err)
	}
	interfaces, err := net.Interfaces()
	t.Log(interfaces, err)
}

// The requests of linux/vfio.h: VFIO_TYPE is ';', VFIO_BASE is 100.
const (
	vfioGetAPIVersion     = 0x3b64
	vfioSetIOMMU          = 0x3b66
	vfioGroupGetStatus    = 0x3b67
	vfioGroupSetContainer = 0x3b68
	vfioGroupGetDevice    = 0x3b6a
	vfioType1             = 1
	vfioViable            = 1
)

// openGroup opens a device by its group.
func openGroup(path, address string) (closeAll func(), err error) {
	var fds []int
	closeAll = func() {
		for i := len(fds) - 1; i >= 0; i-- {
			unix.Close(fds[i])
		}
	}
	defer func() {
		if err != nil {
			closeAll()
		}
	}()
	for _, p := range []string{"/dev/vfio/vfio", path} {
		fd, err := unix.Open(p, unix.O_RDWR|unix.O_CLOEXEC, 0)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", p, err)
		}
		fds = append(fds, fd)
	}
	status := [2]uint32{8, 0}
	name := append([]byte(address), 0)
	container := int32(fds[0])
	for _, r := range []struct {
		what    string
		fd      int
		request uintptr
		arg     uintptr
	}{
		{"API version", fds[0], vfioGetAPIVersion, 0},
		{"group status", fds[1], vfioGroupGetStatus, uintptr(unsafe.Pointer(&status))},
		{"set container", fds[1], vfioGroupSetContainer, uintptr(unsafe.Pointer(&container))},
		{"set IOMMU", fds[0], vfioSetIOMMU, vfioType1},
		{"get device", fds[1], vfioGroupGetDevice, uintptr(unsafe.Pointer(&name[0]))},
	} {
		n, _, e := unix.Syscall(unix.SYS_IOCTL, uintptr(r.fd), r.request, r.arg)
		if e != 0 {
			return nil, fmt.Errorf("%s: %w", r.what, e)
		}
		if r.request == vfioGroupGetDevice {
			fds = append(fds, int(n))
		}
	}
	if status[1]&vfioViable == 0 {
		return nil, fmt.Errorf("the group is not viable: flags %#x", status[1])
	}
	return closeAll, nil
}

// victim binds a device and takes a port, and waits to be killed; or, told so, binds
// and gives back for ever.
func victim(args []string) {
	dir, address, port := args[0], args[1], args[2]
	var s System
	for {
		b, err := s.Bind(context.Background(), dir, address)
		if err != nil {
			fmt.Println("bind:", err)
			os.Exit(1)
		}
		if port == "-" {
			fmt.Println("bound")
			if err := b.Restore(context.Background()); err != nil {
				fmt.Println("restore:", err)
				os.Exit(1)
			}
			continue
		}
		_, err = s.OpenPort(port, 9000)
		if err == nil {
			_, err = openGroup(b.GroupFile(), address)
		}
		if err != nil {
			fmt.Println("open:", err)
			os.Exit(1)
		}
		fmt.Println("bound")
		select {}
	}
}

// startVictim starts one and returns when it has bound its device.
func startVictim(t *testing.T, dir, address, port string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = []string{victimVariable + "=" + strings.Join([]string{dir, address, port}, " ")}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "bound\n" {
		t.Fatalf("the victim says %q, %v", line, err)
	}
	return cmd
}

// guestKilled kills a process that has the group open and the port, and recovers.
func guestKilled(t *testing.T, one, two Candidate) {
	var s System
	dir := t.TempDir()
	v := startVictim(t, dir, one.Address, two.Interfaces[0].Name)
	if left, err := Leftovers(dir); err != nil || len(left) != 0 {
		t.Errorf("what a living process has is left over: %v, %v", left, err)
	}
	if err := v.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	v.Wait()
	left, err := s.Recover(t.Context(), dir)
	if err != nil || len(left) != 1 {
		t.Fatalf("recovered %v, %v", left, err)
	}
	t.Log(left[0])
	// The kernel gives the port back when it gets to it.
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); {
		if _, err := net.InterfaceByName(two.Interfaces[0].Name); err == nil {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	asBefore(t, one, two)
}

// guestKilledOften kills at times that nothing chose.
func guestKilledOften(t *testing.T, one, two Candidate) {
	var s System
	dir := t.TempDir()
	recovered := 0
	for range 12 {
		v := startVictim(t, dir, one.Address, "-")
		time.Sleep(time.Duration(rand.IntN(200)) * time.Millisecond)
		v.Process.Kill()
		v.Wait()
		left, err := s.Recover(t.Context(), dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range left {
			recovered++
			t.Log(l.Step)
		}
		asBefore(t, one, two)
	}
	if recovered == 0 {
		t.Error("no kill was in the middle")
	}
}
