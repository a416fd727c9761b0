package freebsd

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/headwatch/headwatch/runners"
)

var sampleTree = map[string]string{
	"sys/conf/newvers.sh":                       "TYPE=\"FreeBSD\"\nREVISION=\"15.0\"\nBRANCH=\"CURRENT\"\nif x; then\n\tBRANCH=${BRANCH_OVERRIDE}\nfi\n",
	"sys/sys/param.h":                           "#define __FreeBSD_version 1500012\t/* … */\n",
	"lib/clang/include/clang/Basic/Version.inc": "#define\tCLANG_VERSION_MAJOR\t\t18\n",
	"tools/build/make.py":                       "",
}

func TestReadTree(t *testing.T) {
	dir := t.TempDir()
	put(t, dir, sampleTree)
	got, err := readTree(dir, "linux")
	want := Tree{Release: "15.0-CURRENT", Revision: "15.0", Branch: "CURRENT", Version: 1500012, Clang: 18}
	if err != nil || got != want {
		t.Errorf("%+v, %v", got, err)
	}
	for _, tc := range []struct {
		name   string
		change map[string]string
		remove string
		host   string
		want   string
	}{
		{"another project", nil, "sys/conf/newvers.sh", "linux", "no FreeBSD source tree: it has no sys/conf/newvers.sh"},
		{"another BSD", map[string]string{"sys/conf/newvers.sh": "TYPE=\"DragonFly\"\n"}, "", "linux", `tree of another project: sys/conf/newvers.sh says TYPE="DragonFly"`},
		{"no revision", map[string]string{"sys/conf/newvers.sh": "TYPE=\"FreeBSD\"\n"}, "", "linux", "no line REVISION="},
		{"too old", nil, "tools/build/make.py", "linux", "FreeBSD 15.0-CURRENT has no tools/build/make.py"},
		{"no version", map[string]string{"sys/sys/param.h": "\n"}, "", "linux", "sys/sys/param.h: no line like"},
		{"too old for Linux only", nil, "tools/build/make.py", "freebsd", ""},
		{"no compiler", nil, "lib/clang/include/clang/Basic/Version.inc", "linux", ""},
	} {
		dir := t.TempDir()
		put(t, dir, sampleTree)
		put(t, dir, tc.change)
		if tc.remove != "" {
			if err := os.Remove(filepath.Join(dir, tc.remove)); err != nil {
				t.Fatal(err)
			}
		}
		_, err := readTree(dir, tc.host)
		if tc.want == "" {
			if err != nil {
				t.Errorf("%s: %v", tc.name, err)
			}
			continue
		}
		if _, ok := errors.AsType[*runners.InfraError](err); !ok || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v, want %s", tc.name, err, tc.want)
		}
	}
	if _, err := ReadTree(filepath.Join(dir, "absent")); err == nil || !strings.Contains(err.Error(), "no folder there") {
		t.Errorf("no folder: %v", err)
	}
}

func TestNoVersionControl(t *testing.T) {
	dir := t.TempDir()
	if err := noVersionControl(filepath.Join(dir, "a/b")); err != nil {
		t.Skipf("the temporary folder is inside a work tree: %v", err)
	}
	put(t, dir, map[string]string{".git/HEAD": ""})
	if err := noVersionControl(filepath.Join(dir, "a/b")); err == nil || !strings.Contains(err.Error(), "inside the work tree of "+dir) {
		t.Errorf("%v", err)
	}
}

// fakeLLVM makes a folder with tools that say a version.
func fakeLLVM(t *testing.T, clang, lld string) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range []string{"clang", "clang++", "clang-cpp"} {
		put(t, dir, map[string]string{name: "#!/bin/sh\necho Debian clang version " + clang + "\n"})
	}
	if lld != "" {
		put(t, dir, map[string]string{"ld.lld": "#!/bin/sh\necho Debian LLD " + lld + " '(compatible with GNU linkers)'\n"})
	}
	return dir
}

func TestFindCompilers(t *testing.T) {
	newer, older := fakeLLVM(t, "16.0.6", "16.0.6"), fakeLLVM(t, "14.0.6", "14.0.6")
	got, err := findCompilers(t.Context(), []string{newer, t.TempDir(), fakeLLVM(t, "15.0.1", ""), fakeLLVM(t, "17.0.1", "16.0.6"), older})
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != 2 || got[0].Dir != older || got[1].Dir != newer || got[1].Version != "16.0.6" || got[1].Full != "Debian clang version 16.0.6" {
		t.Errorf("%+v", got)
	}
	_, err = findCompilers(t.Context(), []string{fakeLLVM(t, "15.0.1", "")})
	if infra, ok := errors.AsType[*runners.InfraError](err); !ok || !strings.Contains(infra.Error(), "no ld.lld") || !strings.Contains(infra.Hint, "clang-14 and lld-14") {
		t.Errorf("half a compiler: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := findCompilers(ctx, []string{older}); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: %v", err)
	}
}

func TestChooseCompiler(t *testing.T) {
	var all []compiler
	for _, major := range []int{14, 16, 19} {
		all = append(all, compiler{Major: major})
	}
	for tree, want := range map[int]int{13: 14, 14: 14, 15: 14, 16: 16, 18: 16, 19: 19, 20: 19, 0: 19} {
		if got := chooseCompiler(all, Tree{Clang: tree}); got.Major != want {
			t.Errorf("tree with clang %d: chose %d, want %d", tree, got.Major, want)
		}
	}
}

func TestCheckHost(t *testing.T) {
	has := func(name string) bool { return !strings.HasPrefix(name, "/usr/include/") }
	err := checkHost(hostRequirements, has)
	if infra, ok := errors.AsType[*runners.InfraError](err); !ok || infra.Hint != "install the Debian packages libc6-dev libarchive-dev libbz2-dev" {
		t.Errorf("%v", err)
	}
	if err := checkHost(hostRequirements, func(string) bool { return true }); err != nil {
		t.Error(err)
	}
}
