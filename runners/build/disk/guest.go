package disk

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
)

// Guest is a kernel with nothing else but the agent, which is its first process;
// or with a userland, whose rc(8) starts the agent as a service.
type Guest struct {
	Arch string // "amd64" or "arm64"
	// World is the METALOG of the userland; see Disk.Metalog. Empty: none.
	World   string
	Kernel  string   // host path, without sections for debuggers
	Modules []string // host paths of .ko files, which the loader loads in this order
	Loader  string   // host path of loader.efi, the one with Lua
	// Scripts is a folder of the loader's scripts: lua/*.lua and
	// defaults/loader.conf, as in the tree's stand/.
	Scripts  string
	Agent    []byte    // executable for FreeBSD
	Config   []byte    // /etc/headwatch.json; empty: none
	Commit   string    // upstream commit, for kenv headwatch.commit; empty: unknown
	Settings []Setting // replace those of this package by name, or follow them
}

// Disk lays the guest out. Without a userland its root is mounted read-only, and the
// agent mounts what it writes to; with one there is room to write.
func (g Guest) Disk() (Disk, error) {
	d := Disk{Arch: g.Arch, Loader: g.Loader, Metalog: g.World}
	add := func(p string, mode fs.FileMode, source string, data []byte) {
		d.Files = append(d.Files, File{Path: p, Mode: mode, Source: source, Data: data})
	}
	if g.Kernel == "" || len(g.Agent) == 0 {
		return Disk{}, errors.New("guest: want a kernel and an agent")
	}
	for _, dir := range []string{"/dev", "/etc", "/var", "/boot/kernel", "/boot/modules", "/boot/loader.conf.d"} {
		add(dir, fs.ModeDir|0o755, "", nil)
	}
	add("/tmp", fs.ModeDir|fs.ModeSticky|0o777, "", nil)
	if g.World != "" {
		d.Free = worldFree
		for _, f := range service {
			add(f.Path, f.Mode, "", f.Data)
		}
	}
	add("/boot/kernel/kernel", 0o555, g.Kernel, nil)
	add("/agent", 0o555, "", g.Agent)
	if len(g.Config) > 0 {
		add("/etc/headwatch.json", 0o644, "", g.Config)
	}
	scripts, err := g.scripts()
	if err != nil {
		return Disk{}, fmt.Errorf("guest: scripts of the loader: %w", err)
	}
	for _, s := range scripts {
		add(path.Join("/boot", s), 0o444, filepath.Join(g.Scripts, filepath.FromSlash(s)), nil)
	}
	settings := merge(g.defaults(), g.Settings)
	for _, m := range g.Modules {
		name, ok := strings.CutSuffix(filepath.Base(m), ".ko")
		if !ok {
			return Disk{}, fmt.Errorf("guest: module %s: want a file NAME.ko", m)
		}
		add("/boot/kernel/"+name+".ko", 0o555, m, nil)
		settings = append(settings, Setting{name + "_load", "YES"})
	}
	conf, err := LoaderConf(settings)
	if err != nil {
		return Disk{}, fmt.Errorf("guest: %w", err)
	}
	add("/boot/loader.conf", 0o644, "", conf)
	if err := d.check(); err != nil {
		return Disk{}, fmt.Errorf("guest: %w", err)
	}
	return d, nil
}

// scripts are what the loader reads before anything else, relative to the folder
// of scripts.
func (g Guest) scripts() ([]string, error) {
	const defaults = "defaults/loader.conf"
	if _, err := os.Stat(filepath.Join(g.Scripts, defaults)); err != nil {
		return nil, err
	}
	lua, err := filepath.Glob(filepath.Join(g.Scripts, "lua", "*.lua"))
	if err != nil {
		return nil, err
	}
	list := []string{defaults}
	for _, f := range lua {
		list = append(list, "lua/"+filepath.Base(f))
	}
	if len(lua) == 0 {
		return nil, fmt.Errorf("no lua/*.lua in %s", g.Scripts)
	}
	return list, nil
}

// defaults are the settings of a guest under test.
func (g Guest) defaults() []Setting {
	list := []Setting{
		// The loader: no questions, no pictures, nothing that is not there.
		{"autoboot_delay", "-1"},
		{"beastie_disable", "YES"},
		{"loader_logo", "none"},
		{"boot_serial", "YES"},
		{"boot_verbose", "NO"},
		{"hostuuid_load", "NO"},
		{"entropy_cache_load", "NO"},
		{"kernels_autodetect", "NO"},
		{"bootenv_autolist", "NO"},
		{"vfs.root.mountfrom", "ufs:/dev/vtbd0p2 ufs:/dev/gpt/" + labelRoot},
	}
	list = append(list, underTest...)
	if g.World == "" {
		list = append(list, firstProcess...)
	}
	if g.Arch == "amd64" {
		list = append(list, serialPorts...)
	}
	if g.Commit != "" {
		list = append(list, Setting{"headwatch.commit", g.Commit})
	}
	return list
}

// underTest are settings for every kernel under test.
var underTest = []Setting{
	// Virtual machines get 100 by default: too coarse for TCP's timers.
	{"kern.hz", "1000"},
	// A panic before the agent is up must end the machine, not wait in the
	// debugger for somebody; the agent sets this when it has told the debugger
	// what to print.
	{"debug.debugger_on_panic", "0"},
	{"debug.trace_on_panic", "1"},
	{"kern.panic_reboot_wait_time", "0"},
	{"hw.memtest.tests", "0"},
	// Init waits until the random generator is seeded. The 64 bytes that it wants
	// by default took hardware sources about a second; 16, the least that Fortuna
	// takes, are there at once. A seed on the disk would be the same in all boots.
	{"kern.random.fortuna.minpoolsize", "16"},
}

// firstProcess makes it the agent, which mounts what it writes to.
var firstProcess = []Setting{
	{"init_path", "/agent"},
	{"vfs.root.mountfrom.options", "ro"},
}

// serialPorts make the first UART the console, and keep the two in their order:
// without hints they are numbered as ACPI lists them, the second one first.
var serialPorts = []Setting{
	{"console", "comconsole"},
	{"comconsole_speed", "115200"},
	{"hint.uart.0.at", "isa"},
	{"hint.uart.0.port", "0x3F8"},
	{"hint.uart.0.irq", "4"},
	{"hint.uart.0.flags", "0x10"},
	{"hint.uart.1.at", "isa"},
	{"hint.uart.1.port", "0x2F8"},
	{"hint.uart.1.irq", "3"},
}

// merge puts the values of own in the places of settings with the same name, and
// the others behind.
func merge(settings, own []Setting) []Setting {
	at := make(map[string]int)
	for i, s := range settings {
		at[s.Name] = i
	}
	for _, s := range own {
		if i, ok := at[s.Name]; ok {
			settings[i].Value = s.Value
			continue
		}
		at[s.Name] = len(settings)
		settings = append(settings, s)
	}
	return settings
}
