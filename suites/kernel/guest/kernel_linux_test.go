package guest

import (
	"bytes"
	"compress/flate"
	"errors"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

func unpack(t *testing.T, r Reading) string {
	t.Helper()
	b, err := io.ReadAll(flate.NewReader(bytes.NewReader(r.Data)))
	if err != nil || len(b) != r.Size {
		t.Fatalf("%d bytes of %d, %v", len(b), r.Size, err)
	}
	return string(b)
}

func TestReadSysctl(t *testing.T) {
	r, err := perform[Reading](t, t.Context(), OpSysctl, NameArgs{"kernel.ostype"})
	if err != nil || unpack(t, r) != "Linux\n" {
		t.Errorf("%+v, %v", r, err)
	}
	r, err = perform[Reading](t, t.Context(), OpSysctl, NameArgs{"kernel.nonesuch"})
	if err != nil || !r.Absent {
		t.Errorf("absent: %+v, %v", r, err)
	}
	r, err = perform[Reading](t, t.Context(), OpFile, NameArgs{"/proc/self/../cmdline"})
	if err != nil || unpack(t, r) == "" {
		t.Errorf("file: %+v, %v", r, err)
	}
	for _, path := range []string{"/etc/passwd", "/proc/../etc/passwd", "/procfs", "/sys"} {
		if _, err := perform[Reading](t, t.Context(), OpFile, NameArgs{path}); err == nil {
			t.Errorf("%s was read", path)
		}
	}
}

func TestSysctlPath(t *testing.T) {
	for name, want := range map[string]string{
		"net.ipv4.tcp_sack":               "/proc/sys/net/ipv4/tcp_sack",
		"net/ipv4/conf/eth0.1/forwarding": "/proc/sys/net/ipv4/conf/eth0.1/forwarding",
		"net.ipv4.conf.eth0/1.forwarding": "/proc/sys/net/ipv4/conf/eth0.1/forwarding",
		"kernel/../../self/environ":       "/proc/sys/self/environ",
		"":                                "/proc/sys",
	} {
		if got := sysctlPath(name); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
}

func TestListSysctls(t *testing.T) {
	list, err := perform[Sysctls](t, t.Context(), OpSysctls, SysctlsArgs{Prefix: "kernel", Suffix: ".ostype"})
	want := Sysctls{Nodes: []Sysctl{{Name: "kernel.ostype", Kind: "string", Value: []byte("Linux\n"), Size: 6}}}
	if diff := cmp.Diff(want, list); err != nil || diff != "" {
		t.Errorf("%v %s", err, diff)
	}
	list, err = perform[Sysctls](t, t.Context(), OpSysctls, SysctlsArgs{Names: []string{"kernel.nonesuch", "kernel.ostype"}})
	if diff := cmp.Diff(want, list); err != nil || diff != "" {
		t.Errorf("by names: %v %s", err, diff)
	}
	list, err = perform[Sysctls](t, t.Context(), OpSysctls, SysctlsArgs{Prefix: "kernel/nonesuch"})
	if err != nil || len(list.Nodes) != 0 || list.After != "" {
		t.Errorf("nothing: %+v, %v", list, err)
	}
}

// A list in parts holds every name once.
func TestListSysctlsInParts(t *testing.T) {
	seen := map[string]int{}
	args := SysctlsArgs{}
	for range 100 {
		list, err := perform[Sysctls](t, t.Context(), OpSysctls, args)
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range list.Nodes {
			seen[n.Name]++
		}
		if args.After = list.After; args.After == "" {
			break
		}
	}
	if args.After != "" || len(seen) < 100 || seen["kernel.ostype"] != 1 {
		t.Errorf("%d names, then %q", len(seen), args.After)
	}
	for name, n := range seen {
		if n != 1 {
			t.Errorf("%s came %d times", name, n)
		}
	}
}

func TestParseModules(t *testing.T) {
	got := parseModules("virtio_net 65536 0 - Live 0x0\nnet_failover 20480 1 virtio_net, Live 0x0\nbad\n")
	want := []Module{{Name: "virtio_net", Size: 65536}, {Name: "net_failover", Size: 20480, Refs: 1}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// A missing file is the image's fault and an impossible module the kernel's to
// refuse.
func TestModuleErrors(t *testing.T) {
	var errno syscall.Errno
	_, err := perform[ModuleLoaded](t, t.Context(), OpModuleLoad, ModuleLoadArgs{Path: "/nonexistent.ko"})
	if err == nil || errors.As(err, &errno) {
		t.Errorf("missing file: %v", err)
	}
	if _, err := perform[[]Module](t, t.Context(), OpModules, nil); err != nil {
		t.Errorf("list: %v", err)
	}
	path := filepath.Join(t.TempDir(), "x.ko")
	if err := os.WriteFile(path, []byte("no module"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := perform[ModuleLoaded](t, t.Context(), OpModuleLoad, ModuleLoadArgs{Path: path}); err == nil {
		t.Error("a text was loaded as a module")
	}
}

// ownNetwork moves the test into a network of its own with a pair of interfaces.
// Its thread is not used again: it ends with the goroutine that holds it.
func ownNetwork(t *testing.T) {
	runtime.LockOSThread()
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		t.Skipf("no network of our own here (not root?): %v", err)
	}
	info := append(attribute(unix.IFLA_INFO_KIND, []byte("veth")), attribute(unix.IFLA_INFO_DATA, nil)...)
	body := append(make([]byte, unix.SizeofIfInfomsg), attribute(unix.IFLA_IFNAME, []byte("hw0\x00"))...)
	body = append(body, attribute(unix.IFLA_LINKINFO, info)...)
	if err := netlink(unix.RTM_NEWLINK, unix.NLM_F_CREATE|unix.NLM_F_EXCL, body); err != nil {
		t.Skipf("no virtual interfaces here: %v", err)
	}
}

func TestInterfaces(t *testing.T) {
	ownNetwork(t)
	up, down := true, false
	change := func(op string, args any) {
		t.Helper()
		for range 2 { // what is there already is no error
			if _, err := perform[done](t, t.Context(), op, args); err != nil {
				t.Fatalf("%+v: %v", args, err)
			}
		}
	}
	peer := "veth0"
	change(OpInterface, InterfaceArgs{Name: "hw0", MAC: "02:11:22:33:44:55", MTU: 1400, Up: &up})
	change(OpInterface, InterfaceArgs{Name: peer, Up: &up})
	change(OpAddress, AddressArgs{Interface: "hw0", Address: "192.0.2.1/24"})
	change(OpAddress, AddressArgs{Interface: "hw0", Address: "2001:db8::1/64"})
	change(OpRoute, RouteArgs{Destination: "0.0.0.0/0", Gateway: "192.0.2.254"})
	change(OpRoute, RouteArgs{Destination: "198.51.100.0/24", Interface: "hw0"})
	change(OpRoute, RouteArgs{Destination: "2001:db8:5::/48", Gateway: "2001:db8::ff", Interface: "hw0"})
	change(OpNeighbor, NeighborArgs{Interface: "hw0", Address: "192.0.2.254", MAC: "02:00:00:00:00:01"})
	change(OpNeighbor, NeighborArgs{Interface: "hw0", Address: "2001:db8::ff", MAC: "02:00:00:00:00:01"})

	list, err := perform[[]Interface](t, t.Context(), OpInterfaces, nil)
	if err != nil {
		t.Fatal(err)
	}
	at := slices.IndexFunc(list, func(i Interface) bool { return i.Name == "hw0" })
	if at < 0 {
		t.Fatalf("%+v", list)
	}
	hw := list[at]
	if hw.MAC != "02:11:22:33:44:55" || hw.MTU != 1400 || !strings.HasPrefix(hw.Flags, "up|") ||
		!slices.Contains(hw.Addresses, "192.0.2.1/24") || !slices.Contains(hw.Addresses, "2001:db8::1/64") {
		t.Errorf("%+v", hw)
	}
	routes, err := os.ReadFile("/proc/thread-self/net/route")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(routes), "hw0\t00000000\tFE0200C0") || !strings.Contains(string(routes), "hw0\t006433C6\t00000000") {
		t.Errorf("routes:\n%s", routes)
	}
	arp, err := os.ReadFile("/proc/thread-self/net/arp")
	if err != nil || !strings.Contains(string(arp), "192.0.2.254") || !strings.Contains(string(arp), "02:00:00:00:00:01") {
		t.Errorf("arp: %s, %v", arp, err)
	}
	for _, step := range []struct {
		op   string
		args any
	}{
		{OpNeighbor, NeighborArgs{Interface: "hw0", Address: "192.0.2.254", Remove: true}},
		{OpRoute, RouteArgs{Destination: "0.0.0.0/0", Remove: true}},
		{OpRoute, RouteArgs{Destination: "2001:db8:5::/48", Remove: true}},
		{OpAddress, AddressArgs{Interface: "hw0", Address: "192.0.2.1/24", Remove: true}},
		{OpAddress, AddressArgs{Interface: "hw0", Address: "2001:db8::1/64", Remove: true}},
	} {
		if _, err := perform[done](t, t.Context(), step.op, step.args); err != nil {
			t.Errorf("%+v: %v", step.args, err)
		}
	}
	if _, err := perform[done](t, t.Context(), OpRoute, RouteArgs{Destination: "0.0.0.0/0", Remove: true}); !errors.Is(err, unix.ESRCH) {
		t.Errorf("a route was removed twice: %v", err)
	}
	if _, err := perform[done](t, t.Context(), OpInterface, InterfaceArgs{Name: "hw0", Up: &down}); err != nil {
		t.Error(err)
	}
}

func TestBadNetworkArguments(t *testing.T) {
	var errno syscall.Errno
	for _, step := range []struct {
		op   string
		args any
	}{
		{OpInterface, InterfaceArgs{Name: "nonesuch"}},
		{OpInterface, InterfaceArgs{Name: "lo", MAC: "02:00"}},
		{OpInterface, InterfaceArgs{Name: "lo", MAC: "02:00:00:00:00:00:00:01"}},
		{OpAddress, AddressArgs{Interface: "lo", Address: "192.0.2.1"}},
		{OpRoute, RouteArgs{Destination: "192.0.2.0/24"}},
		{OpRoute, RouteArgs{Destination: "192.0.2.0/24", Gateway: "2001:db8::1"}},
		{OpNeighbor, NeighborArgs{Interface: "lo", Address: "x"}},
		{OpNeighbor, NeighborArgs{Interface: "lo", Address: "192.0.2.1"}},
	} {
		if _, err := perform[done](t, t.Context(), step.op, step.args); err == nil || errors.As(err, &errno) {
			t.Errorf("%+v: %v; want an error that is not the kernel's", step.args, err)
		}
	}
}

func TestAcknowledged(t *testing.T) {
	for _, b := range [][]byte{nil, make([]byte, 16), make([]byte, 36)} {
		if acknowledged(b) == nil {
			t.Errorf("%d bytes acknowledge", len(b))
		}
	}
}
