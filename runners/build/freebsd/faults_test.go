package freebsd

import (
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/headwatch/headwatch/runners"
)

// judge runs an output through faults, in pieces of n bytes.
func judge(t *testing.T, step, out string, n int) error {
	t.Helper()
	f := &faults{log: io.Discard}
	for rest := out; rest != ""; {
		piece := rest[:min(n, len(rest))]
		if _, err := f.Write([]byte(piece)); err != nil {
			t.Fatal(err)
		}
		rest = rest[len(piece):]
	}
	c := mustConfig(t, recipe("GENERIC", "options NO_SUCH"))
	p := samplePlan()
	p.world = step == stepUserland
	return f.explain(step, p, c, &errExit{errors.New("exit status 2")})
}

func TestFaults(t *testing.T) {
	const stop = "*** [tcp_input.o] Error code 1\n\nbmake[2]: stopped in /c/k/obj/c/k/src/amd64.amd64/sys/H\n1 error\n"
	for _, tc := range []struct {
		name, step, out string
		bad             bool
		want            string
	}{
		{"compiler", stepKernel, "--- tcp_input.o ---\n/c/k/src/sys/netinet/tcp_input.c:12:3: error: use of undeclared identifier 'x'\n    x = 1;\n    ^\n1 error generated.\n" + stop,
			true, "sys/netinet/tcp_input.c:12:3: error: use of undeclared identifier 'x'"},
		{"first of two", stepKernel, "/c/k/src/sys/a.c:1:2: error: one\n/c/k/src/sys/b.c:1:2: error: two\n" + stop, true, "sys/a.c:1:2: error: one"},
		{"a warning is none", stepKernel, "/c/k/src/sys/a.c:1:2: warning: one\n/c/k/src/sys/b.c:9: error: two\n" + stop, true, "sys/b.c:9: error: two"},
		{"header", stepKernel, "/c/k/src/sys/a.c:7:10: fatal error: 'sys/gone.h' file not found\n" + stop, true, "sys/a.c:7:10: fatal error: 'sys/gone.h' file not found"},
		{"linker", stepKernel, "linking kernel.full\nld: error: undefined symbol: tcp_gone\n>>> referenced by tcp_input.c:99 (/c/k/src/sys/netinet/tcp_input.c:99)\n>>>               tcp_input.o:(tcp_input)\n*** [kernel.full] Error code 1\n",
			true, "sys/netinet/tcp_input.c:99: ld: error: undefined symbol: tcp_gone"},
		{"linker alone", stepKernel, "/usr/lib/llvm-14/bin/ld.lld: error: unknown argument '-z'\n", true, "/usr/lib/llvm-14/bin/ld.lld: error: unknown argument '-z'"},
		{"makefile", stepKernel, "bmake[4]: \"/c/k/src/sys/conf/kern.mk\" line 7: Malformed conditional (.if)\nbmake[4]: Fatal errors encountered -- cannot continue\nbmake[4]: stopped in /c/k/src\n",
			true, `bmake[4]: "sys/conf/kern.mk" line 7: Malformed conditional (.if)`},
		{"no rule", stepKernel, "bmake[3]: don't know how to make /c/k/src/sys/kern/gone.c. Stop\n\nbmake[3]: stopped in /c/k/x\n", true, "bmake[3]: don't know how to make sys/kern/gone.c. Stop"},
		{"no rule, said by jobs", stepKernel, "bmake[5]: bmake[5]: don't know how to make defs.h. Stop\n\nbmake[5]: stopped in /c/k/src/lib\n", true, "don't know how to make defs.h. Stop"},
		{"make's own word", stepUserland, "===> usr.bin/id (includes)\nsh: 1: cd: can't cd to /c/k/src/usr.bin/id\n\nbmake[3]: stopped in /c/k/src/usr.bin\n", false, `was "sh: 1: cd: can't cd to usr.bin/id"`},
		{"userland's tools", stepUserland, ">>> stage 2.3: build tools\n/c/k/src/usr.bin/ar/ar.c:3:10: error: no such thing\n" + stop, false, "this host cannot build"},
		{"userland", stepUserland, ">>> stage 2.3: build tools\n>>> stage 4.2: building libraries\n/c/k/src/lib/libc/a.c:3:10: error: no such thing\n" + stop, true, "lib/libc/a.c:3:10: error: no such thing"},
		{"userland's header", stepUserland, ">>> stage 4.3: building everything\n/c/k/src/usr.bin/x/x.c:3:10: fatal error: 'archive.h' file not found\n" + stop, true, "usr.bin/x/x.c:3:10: fatal error"},
		{"command", stepKernel, "awk: bad vnode_if.src at line 3\n*** [vnode_if.h] Error code 1\n\nbmake[2]: stopped in /c/k/src/sys\n",
			true, "vnode_if.h: Error code 1: awk: bad vnode_if.src at line 3 (in sys)"},
		{"fragment", stepKernel, "/c/k/conf/HEADWATCH-0: unknown option \"NO_SUCH\"\n*** [buildkernel] Error code 1\n", false, `fragment 1, "options NO_SUCH"`},
		{"loader", stepLoader, "/c/k/src/stand/common/boot.c:1:1: error: no\n*** [boot.o] Error code 1\n", true, "stand/common/boot.c:1:1: error: no"},
		{"full disk", stepKernel, "/c/k/src/sys/a.c:1:2: error: unable to open output file: 'No space left on device'\n" + stop, false, "No space left on device"},
		{"killed", stepKernel, "clang: error: unable to execute command: Killed\n" + stop, false, "Killed"},
		{"killed by make's word", stepKernel, "*** [a.o] Signal 9\n", false, "a tool was killed: *** [a.o] Signal 9"},
		{"compiler crashed", stepKernel, "PLEASE submit a bug report to https://example.org and include the crash backtrace\n" + stop, false, "PLEASE submit"},
		{"host header", stepTools, "/c/k/src/usr.bin/x/x.c:3:10: fatal error: archive.h: No such file or directory\n", false, "install the Debian package libarchive-dev"},
		{"host library", stepTools, "/usr/bin/ld: cannot find -lbz2: No such file or directory\n", false, "install the Debian package libbz2-dev"},
		{"host cannot", stepTools, "/c/k/src/usr.bin/ar/ar.c:3:10: error: no such thing\n" + stop, false, "this host cannot build the tools of this tree"},
		{"quoted source is no trouble", stepKernel, "/c/k/src/sys/a.c:1:2: error: one\n\tpanic(\"out of memory\");\n" + stop, true, "sys/a.c:1:2: error: one"},
		{"not an input", stepKernel, "bmake[3]: don't know how to make /c/k/src/contrib/new/x.c. Stop\n", false, "wants contrib/new/x.c, which is not among its inputs"},
		{"the tree itself", stepKernel, "bmake[3]: \"/c/k/src/\" line 1: Malformed\nbmake[3]: Fatal errors encountered -- cannot continue\n", true, "line 1: Malformed"},
		{"a way round", stepKernel, "bmake[3]: don't know how to make /c/k/src/sys/modules/../../contrib/new/x.c. Stop\n", false, "wants contrib/new/x.c, "},
		{"no word", stepKernel, "", false, "failed without an error that is known"},
		{"unfinished line", stepKernel, "/c/k/src/sys/a.c:1:2: error: cut", true, "sys/a.c:1:2: error: cut"},
		{"long line", stepKernel, strings.Repeat("x", 3*maxLine) + "\n/c/k/src/sys/a.c:1:2: error: after\n", true, "sys/a.c:1:2: error: after"},
	} {
		for _, n := range []int{1, 7, 1 << 20} {
			err := judge(t, tc.step, tc.out, n)
			_, bad := errors.AsType[*runners.BuildError](err)
			if bad != tc.bad || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("%s, in pieces of %d:\n got %v (tree's fault %t)\nwant %s (%t)", tc.name, n, err, bad, tc.want, tc.bad)
			}
		}
	}
}

func TestFaultsAreBounded(t *testing.T) {
	err := judge(t, stepKernel, "a.c:1: error: "+strings.Repeat("é", maxLine), 1<<20)
	if len(err.Error()) > maxText+10 {
		t.Errorf("%d bytes", len(err.Error()))
	}
}
