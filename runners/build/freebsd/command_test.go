package freebsd

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/headwatch/headwatch/runners"
)

func samplePlan() plan {
	return plan{
		host:     "linux",
		target:   target{"amd64", "amd64"},
		compiler: compiler{Dir: "/usr/lib/llvm-14/bin", Version: "14.0.6", Major: 14},
		strict:   true,
		jobs:     2,
		folder:   "/c/k",
		kernel:   "HEADWATCH-0",
	}
}

// bare leaves out the options that say what of the tree is not wanted.
func bare(argv []string) string {
	return strings.Join(slices.DeleteFunc(slices.Clone(argv), func(a string) bool {
		return strings.HasPrefix(a, "-DWITHOUT_") && a != "-DWITHOUT_CLEAN"
	}), " ")
}

func TestCommandLines(t *testing.T) {
	const linux = "/usr/bin/env --default-signal python3 /c/k/src/tools/build/make.py --cross-bindir=/usr/lib/llvm-14/bin -DWITHOUT_CLEAN "
	const amd64 = "TARGET=amd64 TARGET_ARCH=amd64 "
	const links = " -fdebug-prefix-map=./machine=/usr/src/sys/amd64/include -fdebug-prefix-map=./x86=/usr/src/sys/x86/include -fdebug-prefix-map=./i386=/usr/src/sys/i386/include"
	const debug = "DEBUG=-g -ffile-prefix-map=/c/k/src=/usr/src -ffile-prefix-map=/c/k/obj/c/k/src/amd64.amd64=/usr/obj" + links
	const kernel = "/c/k/obj/c/k/src/amd64.amd64/sys/HEADWATCH-0"
	p := samplePlan()
	modules := p
	modules.modules = []string{"virtio", "tcp/rack"}
	arm := p
	arm.target = target{"arm64", "aarch64"}
	native := p
	native.host = "freebsd"
	world := p
	world.world = true
	for _, tc := range []struct {
		name string
		got  command
		want string
	}{
		{"tools", p.tools(), linux + amd64 + "-j2 kernel-toolchain"},
		{"kernel", p.buildKernel(), linux + amd64 + "-j2 buildkernel KERNCONF=HEADWATCH-0 KERNCONFDIR=/c/k/conf " + debug + " -DNO_MODULES"},
		{"modules", modules.buildKernel(), linux + amd64 + "-j2 buildkernel KERNCONF=HEADWATCH-0 KERNCONFDIR=/c/k/conf " + debug + " MODULES_OVERRIDE=virtio tcp/rack DEBUG_FLAGS=-g -ffile-prefix-map=/c/k/src=/usr/src" +
			" -ffile-prefix-map=" + kernel + "/modules/c/k/src=/usr/obj/modules -ffile-prefix-map=" + kernel + "/opt_=/usr/obj/opt_" + links},
		{"arm64", arm.tools(), linux + "TARGET=arm64 TARGET_ARCH=aarch64 -j2 kernel-toolchain"},
		{"loader", p.loader(), linux + amd64 + "buildenv BUILDENV_SHELL=sh /c/k/conf/loader.sh"},
		{"native", native.tools(), "/usr/bin/make -C /c/k/src -DWITH_AUTO_OBJ -DWITHOUT_CLEAN " + amd64 + "-j2 kernel-toolchain"},
		{"world", world.tools(), linux + amd64 + "-j2 buildworld"},
		{"install", world.installWorld("/o/world")[0], linux + amd64 + "installworld -DNO_ROOT -DDB_FROM_SRC DESTDIR=/o/world METALOG=/o/world/METALOG"},
		{"distribution", world.installWorld("/o/world")[1], linux + amd64 + "distribution -DNO_ROOT -DDB_FROM_SRC DESTDIR=/o/world METALOG=/o/world/METALOG"},
	} {
		if got := bare(tc.got.argv); got != tc.want {
			t.Errorf("%s:\n got %s\nwant %s", tc.name, got, tc.want)
		}
	}
	if !slices.Contains(p.tools().argv, "-DWITHOUT_CLANG") || slices.Contains(world.tools().argv, "-DWITHOUT_TESTS") {
		t.Error("a kernel's tools do without clang; a userland has its tests")
	}
}

func TestEnvironment(t *testing.T) {
	t.Setenv("MAKEFLAGS", "-n")
	t.Setenv("CC", "false")
	p := samplePlan()
	want := []string{
		"PATH=/usr/bin:/bin:/usr/sbin:/sbin",
		"HOME=/nonexistent",
		"LC_ALL=C",
		"TZ=UTC",
		"TMPDIR=/c/k/tmp",
		"MAKEOBJDIRPREFIX=/c/k/obj",
		"PYTHONDONTWRITEBYTECODE=1",
		"__MAKE_CONF=/dev/null",
		"SRCCONF=/dev/null",
		"SRC_ENV_CONF=/dev/null",
		"WITH_REPRODUCIBLE_BUILD=yes",
	}
	if diff := cmp.Diff(want, p.tools().env); diff != "" {
		t.Error(diff)
	}
	p.world = true
	if diff := cmp.Diff(append(slices.Clone(want), "XCXXFLAGS=-stdlib=libc++"), p.tools().env); diff != "" {
		t.Error(diff)
	}
	p.world, p.strict, p.host = false, false, "freebsd"
	want = append(want, "WERROR=", "WITHOUT_WERROR=yes",
		"XCC=/usr/lib/llvm-14/bin/clang", "XCXX=/usr/lib/llvm-14/bin/clang++", "XCPP=/usr/lib/llvm-14/bin/clang-cpp", "XLD=/usr/lib/llvm-14/bin/ld.lld")
	if diff := cmp.Diff(want, p.tools().env); diff != "" {
		t.Error(diff)
	}
}

func TestQuote(t *testing.T) {
	c := command{argv: []string{"/bin/echo", "it's", "plain"}, env: []string{"A=b c"}}
	if got, want := c.quote(), `env -i 'A=b c' /bin/echo 'it'\''s' plain`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestTargets(t *testing.T) {
	good := runners.Recipe{OS: "freebsd", Arch: "arm64", Source: "tree", Modules: []string{"if_vtnet", "tcp/rack"}}
	if got, err := newTarget(good); err != nil || got.String() != "arm64.aarch64" {
		t.Errorf("%v, %v", got, err)
	}
	for name, change := range map[string]func(*runners.Recipe){
		"os":       func(r *runners.Recipe) { r.OS = "linux" },
		"source":   func(r *runners.Recipe) { r.Source = "package" },
		"arch":     func(r *runners.Recipe) { r.Arch = "riscv64" },
		"escape":   func(r *runners.Recipe) { r.Modules = []string{"../../evil"} },
		"rooted":   func(r *runners.Recipe) { r.Modules = []string{"/etc"} },
		"variable": func(r *runners.Recipe) { r.Modules = []string{"${HOME}"} },
	} {
		r := good
		change(&r)
		_, err := newTarget(r)
		if _, ok := errors.AsType[*runners.InfraError](err); !ok {
			t.Errorf("%s: %v, expected the rig's error", name, err)
		}
	}
}
