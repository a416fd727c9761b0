package freebsd

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/headwatch/headwatch/runners"
)

func recipe(config string, fragments ...string) runners.Recipe {
	return runners.Recipe{OS: "freebsd", Arch: "amd64", Source: "tree", Config: config, Fragments: fragments}
}

func mustConfig(t *testing.T, r runners.Recipe) kernelConfig {
	t.Helper()
	own, err := readOwnConfig(r)
	if err != nil {
		t.Fatal(err)
	}
	c, err := newKernelConfig(r, own)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestConfigText(t *testing.T) {
	c := mustConfig(t, recipe("GENERIC-NODEBUG", "options WITNESS", "nodevice vtnet"))
	lines := strings.Split(c.text, "\n")
	if lines[0] != "include GENERIC-NODEBUG" || lines[1] != "ident HEADWATCH" {
		t.Errorf("begins with %q", lines[:2])
	}
	for _, want := range []string{"device virtio_console", "options TMPFS", "options FFS", "options DDB"} {
		if !strings.Contains(c.text, want+"\n") {
			t.Errorf("lacks %q", want)
		}
	}
	// Fragments come last, so that they can take away what we add.
	if lines[c.fragmentsStart()-1] != "options WITNESS" || lines[len(lines)-2] != "nodevice vtnet" {
		t.Errorf("ends with %q", lines[len(lines)-4:])
	}
	if got := mustConfig(t, recipe("")).text; !strings.HasPrefix(got, "include GENERIC\n") {
		t.Errorf("no configuration named: %q", got)
	}
}

func TestConfigName(t *testing.T) {
	base := mustConfig(t, recipe("GENERIC")).name
	if again := mustConfig(t, recipe("GENERIC")).name; again != base {
		t.Errorf("%s, then %s", base, again)
	}
	modules := recipe("GENERIC")
	modules.Modules = []string{"tmpfs"}
	for _, r := range []runners.Recipe{recipe("MINIMAL"), recipe("GENERIC", "options DDB"), modules} {
		if mustConfig(t, r).name == base {
			t.Errorf("%+v shares its objects with GENERIC", r)
		}
	}
}

func TestConfigRefused(t *testing.T) {
	for name, r := range map[string]runners.Recipe{
		"name":      recipe("GENERIC; rm"),
		"two lines": recipe("GENERIC", "options A\nident B"),
		"long":      recipe("GENERIC", strings.Repeat("x", maxFragment+1)),
	} {
		_, err := newKernelConfig(r, nil)
		if _, ok := errors.AsType[*runners.InfraError](err); !ok {
			t.Errorf("%s: %v, expected the rig's error", name, err)
		}
	}
	if _, err := readOwnConfig(recipe("/nonexistent/KERNEL")); err == nil {
		t.Error("a file that is not there was read")
	}
}

func TestOwnConfig(t *testing.T) {
	name := filepath.Join(t.TempDir(), "KERNEL")
	if err := os.WriteFile(name, []byte("include GENERIC\noptions OWN\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	c := mustConfig(t, recipe(name, "options F"))
	dir := t.TempDir()
	if err := c.write(dir); err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(filepath.Join(dir, c.name)); err != nil || !strings.HasPrefix(string(text), "include "+c.ownName()+"\n") {
		t.Errorf("%q, %v", text, err)
	}
	if text, err := os.ReadFile(filepath.Join(dir, c.ownName())); err != nil || !strings.Contains(string(text), "options OWN") {
		t.Errorf("%q, %v", text, err)
	}
	before := mtime(t, filepath.Join(dir, c.name))
	if err := c.write(dir); err != nil || !mtime(t, filepath.Join(dir, c.name)).Equal(before) {
		t.Errorf("written again although right: %v", err)
	}
	err := c.blame(configFault{Word: "OWN", Text: `unknown option "OWN"`})
	if want := name + ":2: unknown option"; !strings.Contains(err.Error(), want) {
		t.Errorf("%v, expected %s", err, want)
	}
}

func TestConfigBlame(t *testing.T) {
	c := mustConfig(t, recipe("GENERIC", "device md", "options NO_SUCH=1"))
	at := "/c/k/conf/" + c.name
	for _, tc := range []struct {
		line string
		bad  bool // the tree's fault
		want string
	}{
		{at + `: unknown option "NO_SUCH"`, false, `fragment 2, "options NO_SUCH=1": unknown option "NO_SUCH"`},
		{fmt.Sprintf("config: %s:%d: syntax error", at, c.fragmentsStart()+1), false, `fragment 2, "options NO_SUCH=1": syntax error`},
		{`config: Error: device "md" is unknown`, false, `fragment 1, "device md": unknown device "md"`},
		{at + `: unknown option "INVARIANTS"`, true, `config GENERIC: unknown option "INVARIANTS"`},
		{"config: /s/sys/amd64/conf/GENERIC:33: syntax error", true, "/s/sys/amd64/conf/GENERIC:33: syntax error"},
		{"config: can't open nothing: No such file", true, "config GENERIC: can't open nothing: No such file"},
	} {
		f, ok := readConfigFault(tc.line)
		if !ok {
			t.Errorf("%s: not recognized", tc.line)
			continue
		}
		err := c.blame(f)
		_, bad := errors.AsType[*runners.BuildError](err)
		if bad != tc.bad || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s:\n got %v (tree's fault %t)\nwant %s (%t)", tc.line, err, bad, tc.want, tc.bad)
		}
	}
	if _, ok := readConfigFault("config: 1 errors"); ok {
		t.Error("a count is no fault")
	}
}

func TestConfigInTree(t *testing.T) {
	src := t.TempDir()
	put(t, src, map[string]string{"sys/amd64/conf/GENERIC": "", "sys/amd64/conf/NOTES": "", "sys/modules/tmpfs/Makefile": ""})
	tg := target{"amd64", "amd64"}
	r := recipe("GENERIC")
	r.Modules = []string{"tmpfs"}
	if err := mustConfig(t, r).check(r, src, tg); err != nil {
		t.Error(err)
	}
	r = recipe("OTHER")
	if err := mustConfig(t, r).check(r, src, tg); err == nil || !strings.Contains(err.Error(), "sys/amd64/conf has GENERIC;") {
		t.Errorf("unknown configuration: %v", err)
	}
	r = recipe("GENERIC")
	r.Modules = []string{"zfs"}
	if err := mustConfig(t, r).check(r, src, tg); err == nil || !strings.Contains(err.Error(), "no sys/modules/zfs") {
		t.Errorf("unknown module: %v", err)
	}
}
