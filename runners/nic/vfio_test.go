package nic

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const (
	ethernet = 0x020000
	bridge   = 0x060400
	storage  = 0x010802
)

// twoPorts is a host with a NIC for itself and a card of two ports in one group,
// behind a bridge.
func twoPorts(t *testing.T) *madeUp {
	return newKernel(t,
		madeUpDevice{address: "0000:00:02.0", driver: "igb", class: ethernet, group: 1, iface: "eth0", up: true},
		madeUpDevice{address: "0000:00:1c.0", driver: "pcieport", class: bridge, group: 7},
		madeUpDevice{address: "0000:03:00.0", driver: "e1000e", class: ethernet, group: 7, iface: "eth1"},
		madeUpDevice{address: "0000:03:00.1", driver: "", class: ethernet, group: 7, noReset: true},
	)
}

func TestCandidates(t *testing.T) {
	k := newKernel(t,
		madeUpDevice{address: "0000:00:02.0", driver: "igb", class: ethernet, group: 1, iface: "eth0", up: true},
		madeUpDevice{address: "0000:00:03.0", driver: "e1000e", class: ethernet, group: 2, iface: "eth1"},
		madeUpDevice{address: "0000:00:04.0", driver: "e1000e", class: ethernet, group: 3, iface: "eth2", up: true},
		madeUpDevice{address: "0000:00:05.0", driver: "e1000e", class: ethernet, group: noGroup, iface: "eth3"},
		madeUpDevice{address: "0000:00:06.0", driver: vfioDriver, class: ethernet, group: 5},
		madeUpDevice{address: "0000:00:1c.0", driver: "pcieport", class: bridge, group: 6},
		madeUpDevice{address: "0000:04:00.0", driver: "e1000e", class: ethernet, group: 6, iface: "eth4"},
		madeUpDevice{address: "0000:04:00.1", driver: "nvme", class: storage, group: 6},
		madeUpDevice{address: "0000:05:00.0", driver: "ixgbe", class: ethernet, group: 8, iface: "eth5"},
		madeUpDevice{address: "0000:05:00.1", driver: "ixgbe", class: ethernet, group: 8, iface: "eth6"},
	)
	k.file("proc/net/route", "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n"+
		"eth0\t00000000\t0100000A\t0003\t0\t0\t0\t00000000\t0\t0\t0\n"+
		"eth2\t0000000A\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n")
	k.link("../../../../../../../devices/virtual/net/br0", "sys/bus/pci/devices/0000:05:00.1/net/eth6/master")
	got, err := k.system.Candidates()
	if err != nil {
		t.Fatal(err)
	}
	obstacles, members := map[string][]string{}, map[string][]string{}
	for _, c := range got {
		obstacles[c.Address], members[c.Address] = c.Obstacles, c.Members
	}
	want := map[string][]string{
		"0000:00:02.0": {"eth0 carries the default route"},
		"0000:00:03.0": {},
		"0000:00:04.0": {"eth2 carries routes of the host"},
		"0000:00:05.0": {"no IOMMU: turn on VT-d or AMD-Vi in the firmware, and boot with intel_iommu=on or amd_iommu=on"},
		"0000:00:06.0": {"another program has it: it is bound to vfio-pci"},
		"0000:04:00.0": {"0000:04:00.1 shares its IOMMU group, and the host uses it by driver nvme"},
		"0000:05:00.0": {"0000:05:00.1 shares its IOMMU group: eth6 is part of br0"},
		"0000:05:00.1": {"eth6 is part of br0"},
	}
	if diff := cmp.Diff(want, obstacles); diff != "" {
		t.Errorf("obstacles (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"0000:05:00.0", "0000:05:00.1"}, members["0000:05:00.0"]); diff != "" {
		t.Errorf("group (-want +got):\n%s", diff)
	}
}

func TestOnlyNIC(t *testing.T) {
	k := newKernel(t, madeUpDevice{address: "0000:00:02.0", driver: "igb", class: ethernet, group: 1, iface: "eth0", up: true})
	k.must(os.RemoveAll(k.path("sys/bus/pci/drivers/vfio-pci")))
	_, err := k.system.Bind(t.Context(), t.TempDir(), "0000:00:02.0")
	want := "pass through 0000:00:02.0: eth0 is up: ip link set eth0 down; it is this host's only NIC; driver vfio-pci is not loaded: modprobe vfio-pci"
	if err == nil || err.Error() != want {
		t.Errorf("error %v, want %s", err, want)
	}
	if _, err := k.system.Bind(t.Context(), t.TempDir(), "0000:00:09.0"); err == nil || !strings.Contains(err.Error(), "no such NIC") {
		t.Errorf("a NIC that is not there: %v", err)
	}
	if len(k.writes) != 0 {
		t.Errorf("written all the same: %q", k.writes)
	}
}

func TestBindAndRestore(t *testing.T) {
	k, dir := twoPorts(t), t.TempDir()
	before := k.state()
	b, err := k.system.Bind(t.Context(), dir, "0000:03:00.0")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"0000:03:00.0", "0000:03:00.1"}, b.Members); diff != "" {
		t.Errorf("members (-want +got):\n%s", diff)
	}
	if _, err := os.Stat(b.GroupFile()); err != nil {
		t.Error(err)
	}
	if err := b.Grant(os.Getuid(), os.Getgid()); err != nil {
		t.Error(err)
	}
	if left, err := Leftovers(dir); len(left) != 0 || err != nil {
		t.Errorf("what we have is left over: %v, %v", left, err)
	}
	if left, err := k.system.Recover(t.Context(), dir); len(left) != 0 || err != nil {
		t.Errorf("what we have is recovered: %v, %v", left, err)
	}
	if _, err := k.system.Bind(t.Context(), dir, "0000:03:00.1"); err == nil || !strings.Contains(err.Error(), "another program has it") {
		t.Errorf("taken twice: %v", err)
	}
	if err := b.Restore(t.Context()); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(before, k.state()); diff != "" {
		t.Errorf("after Restore (-before +after):\n%s", diff)
	}
	want := []string{
		"bus/pci/devices/0000:03:00.0/driver_override vfio-pci",
		"bus/pci/devices/0000:03:00.0/driver/unbind 0000:03:00.0",
		"bus/pci/drivers/vfio-pci/bind 0000:03:00.0",
		"bus/pci/devices/0000:03:00.1/driver_override vfio-pci",
		"bus/pci/drivers/vfio-pci/bind 0000:03:00.1",
		"bus/pci/devices/0000:03:00.0/reset 1",
		"bus/pci/devices/0000:03:00.0/driver/unbind 0000:03:00.0",
		"bus/pci/devices/0000:03:00.0/driver_override ",
		"bus/pci/drivers/e1000e/bind 0000:03:00.0",
		"bus/pci/devices/0000:03:00.1/driver/unbind 0000:03:00.1",
		"bus/pci/devices/0000:03:00.1/driver_override ",
	}
	if diff := cmp.Diff(want, k.writes); diff != "" {
		t.Errorf("writes (-want +got):\n%s", diff)
	}
	if files, _ := filepath.Glob(filepath.Join(dir, "*")); len(files) != 0 {
		t.Errorf("left in the folder: %q", files)
	}
}

// TestKilledAtEveryStep kills the process before each write of a bind and of a
// give-back, and has the next one recover: each time all is as before.
func TestKilledAtEveryStep(t *testing.T) {
	const writes = 11 // as in TestBindAndRestore
	for at := 1; at <= writes; at++ {
		t.Run(fmt.Sprint(at), func(t *testing.T) {
			k, dir := twoPorts(t), t.TempDir()
			before := k.state()
			killed := k.untilKilled(at, dir, func() {
				if b, err := k.system.Bind(t.Context(), dir, "0000:03:00.0"); err == nil {
					b.Restore(t.Context())
				}
			})
			if !killed {
				t.Fatal("it was not killed")
			}
			left, err := Leftovers(dir)
			if err != nil || len(left) != 1 || left[0].Group != 7 || left[0].Step == "" {
				t.Fatalf("left-overs: %v, %v", left, err)
			}
			for range 2 { // the second time there is nothing to do
				if _, err := k.system.Recover(t.Context(), dir); err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(before, k.state()); diff != "" {
					t.Errorf("after Recover (-before +after):\n%s", diff)
				}
			}
			if left, err := Leftovers(dir); err != nil || len(left) != 0 {
				t.Errorf("left-overs after Recover: %v, %v", left, err)
			}
		})
	}
}

// TestBindThatFails gives back what was taken.
func TestBindThatFails(t *testing.T) {
	k, dir := twoPorts(t), t.TempDir()
	before := k.state()
	k.fails["bus/pci/drivers/vfio-pci/bind"] = syscall.EINVAL
	if _, err := k.system.Bind(t.Context(), dir, "0000:03:00.0"); !errors.Is(err, syscall.EINVAL) {
		t.Errorf("error %v, want %v", err, syscall.EINVAL)
	}
	if diff := cmp.Diff(before, k.state()); diff != "" {
		t.Errorf("after the failure (-before +after):\n%s", diff)
	}
	if left, err := Leftovers(dir); err != nil || len(left) != 0 {
		t.Errorf("left-overs: %v, %v", left, err)
	}
}

// TestDriverThatWasUnloaded comes back by the kernel's own search.
func TestDriverThatWasUnloaded(t *testing.T) {
	k, dir := newKernel(t,
		madeUpDevice{address: "0000:00:02.0", driver: "igb", class: ethernet, group: 1, iface: "eth0"},
		madeUpDevice{address: "0000:03:00.0", driver: "late", class: ethernet, group: 7, iface: "eth1"},
	), t.TempDir()
	b, err := k.system.Bind(t.Context(), dir, "0000:03:00.0")
	if err != nil {
		t.Fatal(err)
	}
	k.must(os.RemoveAll(k.path("sys/bus/pci/drivers/late")))
	if err := b.Restore(t.Context()); err != nil {
		t.Fatal(err)
	}
	if last := k.writes[len(k.writes)-1]; last != "bus/pci/drivers_probe 0000:03:00.0" {
		t.Errorf("last write %q", last)
	}
}

// TestGroupThatIsOpen is not taken from who has it.
func TestGroupThatIsOpen(t *testing.T) {
	k, dir := twoPorts(t), t.TempDir()
	b, err := k.system.Bind(t.Context(), dir, "0000:03:00.0")
	if err != nil {
		t.Fatal(err)
	}
	k.link(b.GroupFile(), "proc/4711/fd/12")
	k.file("proc/4711/comm", "qemu-system-x86\n")
	ctx, cancel := context.WithTimeout(t.Context(), 3*releasePoll)
	defer cancel()
	err = b.Restore(ctx)
	if want := "IOMMU group 7 is held open by process 4711 qemu-system-x86"; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("error %v, want %q in it", err, want)
	}
	// It stays left over until that process is gone.
	k.must(os.RemoveAll(k.path("proc/4711")))
	left, err := k.system.Recover(t.Context(), dir)
	if err != nil || len(left) != 1 || !strings.Contains(left[0].String(), "IOMMU group 7 (0000:03:00.0, 0000:03:00.1)") {
		t.Errorf("recovered %v, %v", left, err)
	}
}

// TestJournalsThatSayNothing are no reason to touch a device.
func TestJournalsThatSayNothing(t *testing.T) {
	k, dir := twoPorts(t), t.TempDir()
	before := k.state()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		k.must(os.WriteFile(path, []byte(text), 0o600))
		return path
	}
	// Killed before the first line was whole: no step was taken.
	torn := write("group-1.vfio", `{"version":1,"gro`)
	empty := write("group-2.vfio", "")
	// Another card by now.
	other := write("group-7.vfio", `{"version":1,"group":7,"devices":[{"address":"0000:03:00.0","vendor":1,"device":1,"driver":"tg3","override":""}]}`+"\n")
	gone := write("group-9.vfio", `{"version":1,"group":9,"devices":[{"address":"0000:09:00.0","vendor":1,"device":1,"driver":"tg3","override":""}]}`+"\n")
	write("notes", "somebody's")
	if left, err := k.system.Recover(t.Context(), dir); err != nil || len(left) != 4 {
		t.Errorf("recovered %v, %v", left, err)
	}
	for _, path := range []string{torn, empty, other, gone} {
		if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s stays", path)
		}
	}
	for name, text := range map[string]string{
		"group-3.vfio": "garbage\n",
		"group-4.vfio": `{"version":1,"group":4,"devices":[{"address":"../../x","driver":"e1000e"}]}` + "\n",
		"group-5.vfio": `{"version":1,"group":5,"devices":[{"address":"0000:03:00.0","driver":"../e"}]}` + "\n",
	} {
		path := write(name, text)
		if _, err := k.system.Recover(t.Context(), dir); err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: error %v", name, err)
		}
		k.must(os.Remove(path))
	}
	if diff := cmp.Diff(before, k.state()); diff != "" || len(k.writes) != 0 {
		t.Errorf("touched by %q (-before +after):\n%s", k.writes, diff)
	}
}

func TestRoutes(t *testing.T) {
	got := map[string]routing{}
	parseRoutes("Iface\tDestination\n\nshort line\neth9\t00000000\t0\t0201\t0\t0\t0\t00000000\neth1\t0000A8C0\t0\t0001\t0\t0\t0\t00FFFFFF\n", got)
	parseRoutes6(strings.Join([]string{
		"fe800000000000000000000000000000 40 0 00 0 00000100 00000001 00000000 00000001     eth0",
		"ff000000000000000000000000000000 08 0 00 0 00000100 00000001 00000000 00000001     eth0",
		"00000000000000000000000000000000 00 0 00 0 ffffffff 00000001 00000000 00200200       lo",
		"00000000000000000000000000000000 00 0 00 fe80 00000400 00000001 00000000 00000003     eth2",
		"20010db8000000000000000000000000 40 0 00 0 00000100 00000001 00000000 00000001     eth1",
	}, "\n"), got)
	want := map[string]routing{"eth1": {any: true}, "eth2": {any: true, byDefault: true}}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(routing{})); diff != "" {
		t.Errorf("routes (-want +got):\n%s", diff)
	}
}

// TestThisHost reads the real tree.
func TestThisHost(t *testing.T) {
	start := time.Now()
	candidates, err := System{}.Candidates()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range candidates {
		if !IsAddress(c.Address) || !c.Network() {
			t.Errorf("no network device: %+v", c)
		}
	}
	t.Logf("%d network devices in %v", len(candidates), time.Since(start))
}
