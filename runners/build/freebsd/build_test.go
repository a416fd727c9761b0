package freebsd

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/headwatch/headwatch/runners"
)

// fakeMake stands for a tree's tools/build/make.py: it understands the command
// lines of this package, leaves the files that the real one leaves, and compiles
// by concatenation, what make would: only objects older than their source.
const fakeMake = `#!/usr/bin/env python3
import os, sys, glob, re
src = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
obj = os.environ["MAKEOBJDIRPREFIX"] + src + "/amd64.amd64"
words = [a for a in sys.argv[1:] if not a.startswith("-")]
var = dict(w.split("=", 1) for w in words if "=" in w)
step = [w for w in words if "=" not in w][0]
def put(name, text):
    os.makedirs(os.path.dirname(name), exist_ok=True)
    open(name, "w").write(text)
def cc(source, into):
    to = into + "/" + os.path.basename(source) + ".o"
    if os.path.exists(to) and os.stat(to).st_mtime_ns > os.stat(source).st_mtime_ns:
        return open(to).read()
    print("cc", source[len(src) + 1:], flush=True)
    text = open(source).read()
    if "BROKEN" in text:
        print("%s:1:1: error: broken" % source)
        print("*** [x.o] Error code 1")
        sys.exit(2)
    if "HANG" in text:
        print("hanging", flush=True)
        import time
        time.sleep(1000)
    put(to, text)
    header = src + "/sys/sys/param.h"
    put(into + "/.depend." + os.path.basename(to), "x.o: %s \\\n %s\n" % (source, header))
    return text
if step == "kernel-toolchain":
    cc(src + "/usr.sbin/config/main.c", obj + "/tmp/obj-tools/usr.sbin/config")
elif step == "buildkernel":
    conf = open(var["KERNCONFDIR"] + "/" + var["KERNCONF"]).read()
    if "NO_SUCH" in conf:
        print('%s/%s: unknown option "NO_SUCH"' % (var["KERNCONFDIR"], var["KERNCONF"]))
        sys.exit(2)
    into = obj + "/sys/" + var["KERNCONF"]
    text = "".join(cc(c, into) for c in sorted(glob.glob(src + "/sys/kern/*.c")))
    put(into + "/kernel", text)
    put(into + "/kernel.debug", "debug " + text)
    for m in var.get("MODULES_OVERRIDE", "").split():
        put(into + "/modules" + src + "/sys/modules/" + m + "/" + m + ".ko", m)
elif step == "buildenv":
    put(obj + "/stand/efi/loader_lua/loader_lua.efi", cc(src + "/stand/boot.c", obj + "/stand/efi"))
else:
    sys.exit("unknown step " + step)
`

var fakeTree = map[string]string{
	"sys/conf/newvers.sh":                       sampleTree["sys/conf/newvers.sh"],
	"sys/sys/param.h":                           sampleTree["sys/sys/param.h"],
	"lib/clang/include/clang/Basic/Version.inc": sampleTree["lib/clang/include/clang/Basic/Version.inc"],
	"tools/build/make.py":                       fakeMake,
	"usr.sbin/config/main.c":                    "config",
	"sys/amd64/conf/GENERIC":                    "cpu HAMMER\n",
	"sys/amd64/conf/GENERIC.hints":              "hints",
	"sys/kern/a.c":                              "A",
	"sys/kern/b.c":                              "B",
	"sys/modules/tmpfs/Makefile":                "",
	"stand/boot.c":                              "loader",
	"stand/lua/loader.lua":                      "lua",
	"stand/defaults/loader.conf":                "conf",
	"bin/ls/ls.c":                               "not an input",
}

// rig is a builder with a tree that it builds.
type rig struct {
	t   *testing.T
	b   *Builder
	src string
	out string
	log bytes.Buffer
}

func newRig(t *testing.T) *rig {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Skip("the stand-in for the tree's build is the one for Linux")
	}
	if err := checkHost(hostRequirements, exists); err != nil {
		t.Skip(err)
	}
	r := &rig{t: t, src: t.TempDir(), out: t.TempDir()}
	r.b = New(Config{Cache: filepath.Join(t.TempDir(), "cache"), LLVM: []string{fakeLLVM(t, "18.1.0", "18.1.0")}})
	put(t, r.src, fakeTree)
	return r
}

// build builds, and says what was compiled.
func (r *rig) build(ctx context.Context, recipe runners.Recipe, clean bool) (Product, []string, error) {
	r.t.Helper()
	r.log.Reset()
	p, err := r.b.Build(ctx, recipe, r.src, Options{Out: r.out, Clean: clean}, &r.log)
	var compiled []string
	for line := range strings.Lines(r.log.String()) {
		if name, ok := strings.CutPrefix(line, "cc "); ok {
			compiled = append(compiled, strings.TrimSpace(name))
		}
	}
	return p, compiled, err
}

// must builds, expects these sources to be compiled and returns the kernel.
func (r *rig) must(what string, recipe runners.Recipe, clean bool, want ...string) string {
	r.t.Helper()
	p, compiled, err := r.build(r.t.Context(), recipe, clean)
	if err != nil {
		r.t.Fatalf("%s: %v\n%s", what, err, &r.log)
	}
	if !slices.Equal(compiled, want) {
		r.t.Errorf("%s: compiled %q, want %q", what, compiled, want)
	}
	kernel, err := os.ReadFile(p.Kernel)
	if err != nil {
		r.t.Fatal(err)
	}
	return string(kernel)
}

var everything = []string{"usr.sbin/config/main.c", "sys/kern/a.c", "sys/kern/b.c", "stand/boot.c"}

func TestBuildProduct(t *testing.T) {
	r := newRig(t)
	before := get(t, r.src)
	want := recipe("GENERIC")
	want.Modules = []string{"tmpfs"}
	p, _, err := r.build(t.Context(), want, false)
	if err != nil {
		t.Fatalf("%v\n%s", err, &r.log)
	}
	if diff := cmp.Diff(map[string]string{
		"kernel": "AB", "kernel.debug": "debug AB", "modules/tmpfs.ko": "tmpfs", "loader.efi": "loader",
		"boot/lua/loader.lua": "lua", "boot/defaults/loader.conf": "conf", "boot/device.hints": "hints",
	}, get(t, r.out)); diff != "" {
		t.Error(diff)
	}
	if p.Release != "15.0-CURRENT" || p.Version != 1500012 || p.Ident != "HEADWATCH" || p.Scripts != filepath.Join(r.out, "boot") || len(p.Modules) != 1 {
		t.Errorf("%+v", p)
	}
	if diff := cmp.Diff(before, get(t, r.src)); diff != "" {
		t.Errorf("the caller's tree was changed: %s", diff)
	}
	r.must("without the module", recipe("GENERIC"), false, "sys/kern/a.c", "sys/kern/b.c")
	if got := get(t, r.out); got["modules/tmpfs.ko"] != "" {
		t.Error("a module of another recipe is left")
	}
}

func TestBuildIncremental(t *testing.T) {
	r := newRig(t)
	generic := recipe("GENERIC")
	r.must("first", generic, false, everything...)
	r.must("unchanged", generic, false)
	if strings.Contains(r.log.String(), "\n$ ") {
		t.Errorf("an unchanged tree ran tools:\n%s", &r.log)
	}
	put(t, r.src, map[string]string{"sys/kern/a.c": "A2"})
	if got := r.must("kernel changed", generic, false, "sys/kern/a.c"); got != "A2B" {
		t.Errorf("kernel %q", got)
	}
	// Walking back: the old content must win although it is older.
	put(t, r.src, map[string]string{"sys/kern/a.c": "A"})
	if got := r.must("and back", generic, false, "sys/kern/a.c"); got != "AB" {
		t.Errorf("kernel %q", got)
	}
	if err := os.Remove(filepath.Join(r.src, "sys/kern/b.c")); err != nil {
		t.Fatal(err)
	}
	if got := r.must("file removed", generic, false); got != "A" {
		t.Errorf("kernel %q", got)
	}
	put(t, r.src, map[string]string{"stand/boot.c": "loader 2"})
	r.must("loader changed", generic, false, "stand/boot.c")
	put(t, r.src, map[string]string{"bin/ls/ls.c": "changed"})
	r.must("something else changed", generic, false)
	put(t, r.src, map[string]string{"usr.sbin/config/main.c": "config 2"})
	r.must("tool changed", generic, false, "usr.sbin/config/main.c")
	put(t, r.src, map[string]string{"sys/sys/param.h": "#define __FreeBSD_version 1500013\n"})
	r.must("header changed", generic, false)
	if n := strings.Count(r.log.String(), "\n$ "); n != 3 {
		t.Errorf("a header that all steps read ran %d steps:\n%s", n, &r.log)
	}
	put(t, r.src, map[string]string{"share/mk/sys.mk": "changed"})
	r.must("build system changed", generic, false, "usr.sbin/config/main.c", "sys/kern/a.c", "stand/boot.c")
	r.must("clean", generic, true, "usr.sbin/config/main.c", "sys/kern/a.c", "stand/boot.c")
	r.must("after clean", generic, false)
	left, err := filepath.Glob(filepath.Join(r.b.cfg.Cache, "*-*"))
	if err != nil || left != nil {
		t.Errorf("the clean build left %q, %v", left, err)
	}
}

// Objects that a clean build proved wrong are not built upon again.
func TestDistrust(t *testing.T) {
	r := newRig(t)
	r.must("first", recipe("GENERIC"), false, everything...)
	p, _, err := r.build(t.Context(), recipe("GENERIC"), true)
	if err != nil {
		t.Fatal(err)
	}
	if gone, err := r.b.Distrust(p); err != nil || !gone {
		t.Fatalf("gone: %t, %v", gone, err)
	}
	r.must("after that", recipe("GENERIC"), false, everything...)
	if gone, err := r.b.Distrust(Product{}); err != nil || gone {
		t.Errorf("objects of nothing: gone %t, %v", gone, err)
	}
}

func TestBuildFailures(t *testing.T) {
	r := newRig(t)
	generic := recipe("GENERIC")
	r.must("first", generic, false, everything...)
	put(t, r.src, map[string]string{"sys/kern/b.c": "BROKEN"})
	_, _, err := r.build(t.Context(), generic, false)
	if bad, ok := errors.AsType[*runners.BuildError](err); !ok || bad.Reason != "sys/kern/b.c:1:1: error: broken" {
		t.Errorf("broken: %v", err)
	}
	_, _, err = r.build(t.Context(), recipe("GENERIC", "options NO_SUCH"), false)
	if _, ok := errors.AsType[*runners.InfraError](err); !ok || !strings.Contains(err.Error(), `fragment 1, "options NO_SUCH"`) {
		t.Errorf("bad fragment: %v", err)
	}
	put(t, r.src, map[string]string{"sys/kern/b.c": "B2"})
	r.must("repaired", generic, false, "sys/kern/b.c")
	_, _, err = r.build(t.Context(), recipe("NONE"), false)
	if _, ok := errors.AsType[*runners.InfraError](err); !ok || !strings.Contains(err.Error(), "sys/amd64/conf has GENERIC") {
		t.Errorf("no such configuration: %v", err)
	}
}

// stopper cancels when a text has been logged.
type stopper struct {
	bytes.Buffer
	text   string
	cancel context.CancelFunc
}

func (s *stopper) Write(p []byte) (int, error) {
	defer func() {
		if strings.Contains(s.String(), s.text) {
			s.cancel()
		}
	}()
	return s.Buffer.Write(p)
}

func TestBuildCanceled(t *testing.T) {
	r := newRig(t)
	generic := recipe("GENERIC")
	r.must("first", generic, false, everything...)
	put(t, r.src, map[string]string{"sys/kern/b.c": "HANG"})
	ctx, cancel := context.WithCancel(t.Context())
	log := &stopper{text: "hanging\n", cancel: cancel}
	if _, err := r.b.Build(ctx, generic, r.src, Options{Out: r.out}, log); !errors.Is(err, context.Canceled) {
		t.Fatalf("canceled: %v", err)
	}
	put(t, r.src, map[string]string{"sys/kern/b.c": "B3"})
	r.must("afterwards", generic, false, "sys/kern/a.c", "sys/kern/b.c")
	if !strings.Contains(r.log.String(), "was interrupted: its objects go") {
		t.Errorf("log: %s", &r.log)
	}
}

func TestInputs(t *testing.T) {
	r := newRig(t)
	salt := func(recipe runners.Recipe) string {
		t.Helper()
		_, salt, err := r.b.Inputs(t.Context(), recipe)
		if err != nil {
			t.Fatal(err)
		}
		return salt
	}
	generic := recipe("GENERIC")
	paths, first, err := r.b.Inputs(t.Context(), generic)
	if err != nil || !slices.Contains(paths, "sys") || !slices.IsSorted(paths) {
		t.Errorf("%q, %v", paths, err)
	}
	if again := salt(generic); again != first {
		t.Errorf("salt %s, then %s", first, again)
	}
	world := generic
	world.World = true
	if paths, _, err := r.b.Inputs(t.Context(), world); err != nil || !slices.Equal(paths, []string{"."}) {
		t.Errorf("world: %q, %v", paths, err)
	}
	own := filepath.Join(t.TempDir(), "KERNEL")
	seen := map[string]string{first: "GENERIC"}
	for i, text := range []string{"include GENERIC\n", "include MINIMAL\n"} {
		put(t, filepath.Dir(own), map[string]string{"KERNEL": text})
		seen[salt(recipe(own))] = text
		if len(seen) != i+2 {
			t.Errorf("the salt does not cover the configuration file: %v", seen)
		}
	}
	r.b.cfg.LLVM = append(r.b.cfg.LLVM, fakeLLVM(t, "19.1.0", "19.1.0"))
	if salt(generic) == first {
		t.Error("the salt does not cover the compilers")
	}
}
