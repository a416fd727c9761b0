package disk

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// smallGuest has every part, none of them real.
func smallGuest(t *testing.T) Guest {
	t.Helper()
	dir := t.TempDir()
	put := func(name string) string {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(name), 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	put("stand/defaults/loader.conf")
	put("stand/lua/loader.lua")
	put("stand/lua/core.lua")
	put("stand/lua/Makefile")
	return Guest{
		Arch: "amd64", Kernel: put("kernel"), Loader: put("loader.efi"), Scripts: filepath.Join(dir, "stand"),
		Modules: []string{put("tmpfs.ko"), put("if_igb.ko")}, Agent: []byte("agent"), Config: []byte("{}"), Commit: "c0ffee",
		Settings: []Setting{{"kern.hz", "100"}, {"own", "1"}, {"own", "2"}},
	}
}

func TestGuestLayout(t *testing.T) {
	d, err := smallGuest(t).Disk()
	if err != nil {
		t.Fatal(err)
	}
	at := make(map[string]File)
	for _, f := range d.Files {
		at[f.Path] = f
	}
	want := []string{
		"/agent", "/boot/defaults/loader.conf", "/boot/kernel", "/boot/kernel/if_igb.ko", "/boot/kernel/kernel", "/boot/kernel/tmpfs.ko",
		"/boot/loader.conf", "/boot/loader.conf.d", "/boot/lua/core.lua", "/boot/lua/loader.lua", "/boot/modules",
		"/dev", "/etc", "/etc/headwatch.json", "/tmp", "/var",
	}
	if got := sortedKeys(at); !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	if m := at["/agent"].Mode; m != 0o555 {
		t.Errorf("agent: %v", m)
	}
	conf := string(at["/boot/loader.conf"].Data)
	for _, line := range []string{
		`init_path="/agent"`, `kern.hz="100"`, `own="2"`, `headwatch.commit="c0ffee"`, `debug.debugger_on_panic="0"`,
		`console="comconsole"`, `hint.uart.1.port="0x2F8"`, `tmpfs_load="YES"`, `if_igb_load="YES"`,
		`vfs.root.mountfrom="ufs:/dev/vtbd0p2 ufs:/dev/gpt/headwatch-root"`,
	} {
		if strings.Count("\n"+conf, "\n"+line+"\n") != 1 {
			t.Errorf("not once: %s\n%s", line, conf)
		}
	}
	for _, no := range []string{"1000", `own="1"`} {
		if strings.Contains(conf, no) {
			t.Errorf("%s is there", no)
		}
	}
	if a, b := strings.Index(conf, "tmpfs_load"), strings.Index(conf, "if_igb_load"); a > b {
		t.Error("modules are not in their order")
	}
}

func TestGuestWithUserland(t *testing.T) {
	g := smallGuest(t)
	g.World = filepath.Join(t.TempDir(), "METALOG")
	d, err := g.Disk()
	if err != nil {
		t.Fatal(err)
	}
	at := make(map[string]string)
	for _, f := range d.Files {
		at[f.Path] = string(f.Data)
	}
	if d.Metalog != g.World || d.Free < 1<<20 {
		t.Errorf("METALOG %q, %d bytes free", d.Metalog, d.Free)
	}
	if conf := at["/boot/loader.conf"]; strings.Contains(conf, "init_path") || strings.Contains(conf, `options="ro"`) {
		t.Errorf("the agent is still the first process:\n%s", conf)
	}
	for path, want := range map[string]string{
		"/etc/fstab": "/dev/gpt/headwatch-root / ufs rw ", "/etc/rc.conf": `headwatch_enable="YES"`, "/etc/rc.d/headwatch": "# PROVIDE: headwatch\n",
	} {
		if !strings.Contains(at[path], want) {
			t.Errorf("%s: want %q in it:\n%s", path, want, at[path])
		}
	}
	script := filepath.Join(t.TempDir(), "headwatch")
	if err := os.WriteFile(script, []byte(at["/etc/rc.d/headwatch"]), 0o755); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("sh", "-n", script).CombinedOutput(); err != nil {
		t.Errorf("sh -n: %v\n%s", err, out)
	}
}

func TestGuestOfAnotherArchitecture(t *testing.T) {
	g := smallGuest(t)
	g.Arch = "arm64"
	d, err := g.Disk()
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(d.Files, func(f File) bool { return f.Path == "/boot/loader.conf" })
	if conf := string(d.Files[i].Data); strings.Contains(conf, "uart") || strings.Contains(conf, "comconsole") {
		t.Errorf("ports of a PC:\n%s", conf)
	}
}

func TestBadGuests(t *testing.T) {
	for want, change := range map[string]func(*Guest){
		"want a kernel and an agent":           func(g *Guest) { g.Agent = nil },
		"want a kernel and an agent ":          func(g *Guest) { g.Kernel = "" },
		"want a file NAME.ko":                  func(g *Guest) { g.Modules = []string{"tmpfs"} },
		"/boot/kernel/tmpfs.ko: named twice":   func(g *Guest) { g.Modules = []string{"a/tmpfs.ko", "b/tmpfs.ko"} },
		`loader setting "a b"`:                 func(g *Guest) { g.Settings = []Setting{{"a b", "c"}} },
		"scripts of the loader: stat ":         func(g *Guest) { g.Scripts = filepath.Dir(g.Scripts) },
		`architecture "sparc"`:                 func(g *Guest) { g.Arch = "sparc" },
		"guest: no loader.efi is named":        func(g *Guest) { g.Loader = "" },
		`loader setting "headwatch.commit": v`: func(g *Guest) { g.Commit = "c\nkern.hz=1" },
	} {
		g := smallGuest(t)
		change(&g)
		if _, err := g.Disk(); err == nil || !strings.Contains(err.Error(), strings.TrimSpace(want)) {
			t.Errorf("%v: want %q", err, want)
		}
	}
	g := smallGuest(t)
	if err := os.RemoveAll(filepath.Join(g.Scripts, "lua")); err != nil {
		t.Fatal(err)
	}
	if _, err := g.Disk(); err == nil || !strings.Contains(err.Error(), "no lua/*.lua in "+g.Scripts) {
		t.Errorf("%v", err)
	}
}
