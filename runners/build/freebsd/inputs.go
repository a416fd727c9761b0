package freebsd

import (
	"slices"

	"github.com/headwatch/headwatch/runners"
)

// What a build reads of the tree. The lists were found by looking which files a
// build opens and are proved by every build, which has nothing else: the copy of
// the source is made of these paths. A tree may lack some of them.

// chainInputs decide how everything is built: with one of them changed, nothing
// in a cache folder is good any more.
var chainInputs = []string{
	"Makefile", "Makefile.inc1", "Makefile.libcompat", "Makefile.sys.inc",
	"contrib/bmake", "share/mk", "tools/build", "tools/install.sh", "usr.bin/bmake",
}

// toolInputs are the tools that the tree builds for itself. They are brought up
// to date by make when one of them changes, or a header that they included.
var toolInputs = []string{
	"bin/Makefile.inc", "bin/cat", "bin/expr", "bin/realpath", "bin/rmdir", "bin/sh", "bin/test",
	"cddl/Makefile.inc", "cddl/compat/opensolaris", "cddl/contrib/opensolaris/common/ctf",
	"cddl/contrib/opensolaris/lib/libctf", "cddl/contrib/opensolaris/tools/ctf",
	"cddl/lib/Makefile.inc", "cddl/lib/libctf", "cddl/lib/libspl",
	"cddl/usr.bin/Makefile.inc", "cddl/usr.bin/ctfconvert", "cddl/usr.bin/ctfmerge",
	"contrib/byacc", "contrib/bzip2", "contrib/elftoolchain", "contrib/flex", "contrib/libc-pwcache",
	"contrib/libc-vis", "contrib/libdiff", "contrib/libucl", "contrib/lua", "contrib/mandoc", "contrib/mknod",
	"contrib/mtree", "contrib/ncurses", "contrib/nvi/catalog", "contrib/one-true-awk",
	"etc/mtree",
	"lib/Makefile.inc", "lib/flua", "lib/libbz2", "lib/libcapsicum", "lib/libcasper", "lib/libcrypt",
	"lib/libdwarf", "lib/libelf", "lib/libelftc", "lib/libkldelf", "lib/liblua", "lib/libmd", "lib/libnetbsd",
	"lib/libnv", "lib/libopenbsd", "lib/libpe", "lib/libsbuf", "lib/libucl", "lib/libutil", "lib/libz",
	"lib/libzstd", "lib/ncurses",
	"libexec/Makefile.inc", "libexec/flua", "sbin/Makefile.inc", "sbin/md5", "secure/lib/libcrypt",
	"usr.bin/Makefile.inc", "usr.bin/addr2line", "usr.bin/ar", "usr.bin/awk", "usr.bin/bintrans", "usr.bin/cap_mkdb",
	"usr.bin/cmp", "usr.bin/cut", "usr.bin/diff", "usr.bin/dtc", "usr.bin/elfctl", "usr.bin/elfdump", "usr.bin/file2c",
	"usr.bin/gencat", "usr.bin/grep", "usr.bin/join", "usr.bin/jot", "usr.bin/lex", "usr.bin/localedef",
	"usr.bin/m4", "usr.bin/mandoc", "usr.bin/mkfifo", "usr.bin/mkimg", "usr.bin/mktemp", "usr.bin/nm",
	"usr.bin/objcopy", "usr.bin/patch", "usr.bin/rpcgen", "usr.bin/sed", "usr.bin/size", "usr.bin/sort",
	"usr.bin/strings", "usr.bin/truncate", "usr.bin/tsort", "usr.bin/uudecode", "usr.bin/uuencode",
	"usr.bin/vi", "usr.bin/vtfontcvt", "usr.bin/xargs", "usr.bin/xinstall", "usr.bin/yacc",
	"usr.sbin/Makefile.inc", "usr.sbin/btxld", "usr.sbin/config", "usr.sbin/crunch", "usr.sbin/kldxref",
	"usr.sbin/nmtree", "usr.sbin/pwd_mkdb", "usr.sbin/services_mkdb",
}

// loaderOwn is the part of the tree that is the loader's alone.
var loaderOwn = []string{"stand"}

// sharedInputs are read by several steps; which one is told by the compiler's
// own lists of dependencies.
var sharedInputs = []string{
	"COPYRIGHT", "share/examples/etc/bsd-style-copyright", // newvers.sh
	"contrib/llvm-project/compiler-rt/lib/builtins", "contrib/pnglite", "contrib/terminus",
	clangVersionFile,
	"include", "lib/libc", "stand", "sys",
}

// inputs are the paths that a recipe's build reads.
func inputs(r runners.Recipe) []string {
	if r.World {
		return []string{"."}
	}
	return slices.Sorted(slices.Values(slices.Concat(chainInputs, toolInputs, sharedInputs)))
}

// needless are paths below a recipe's inputs that its build does not read, worth
// naming because they are large: the device trees are a third of the files, for
// boards that are no PC.
func needless(r runners.Recipe) []string {
	if r.World || r.Arch != "amd64" {
		return nil
	}
	return []string{"sys/contrib/device-tree"}
}
