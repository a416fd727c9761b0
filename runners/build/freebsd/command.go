package freebsd

import (
	"fmt"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/headwatch/headwatch/runners"
)

// toolPath is where the tools of a build are looked for, whatever the caller's.
const toolPath = "/usr/bin:/bin:/usr/sbin:/sbin"

// target is an architecture as FreeBSD names it.
type target struct {
	machine string // TARGET
	arch    string // TARGET_ARCH
}

// String is the name of its folder of objects.
func (t target) String() string { return t.machine + "." + t.arch }

// newTarget refuses recipes that are not this package's.
func newTarget(r runners.Recipe) (target, error) {
	if r.OS != "freebsd" || r.Source != "tree" {
		return target{}, recipeError(r, "os %q from source %q: expected freebsd from source tree", r.OS, r.Source)
	}
	for _, m := range r.Modules {
		for part := range strings.SplitSeq(m, "/") {
			if !configName.MatchString(part) {
				return target{}, recipeError(r, "module %q: expected a folder below sys/modules, as if_vtnet or tcp/rack", m)
			}
		}
	}
	switch r.Arch {
	case "amd64":
		return target{"amd64", "amd64"}, nil
	case "arm64":
		return target{"arm64", "aarch64"}, nil
	}
	return target{}, recipeError(r, "arch %q: expected amd64 or arm64", r.Arch)
}

// command is one run of the tree's build.
type command struct {
	argv []string
	env  []string // all of it: nothing of the caller's environment gets in
}

// plan is what the command lines depend on.
type plan struct {
	host     string // GOOS
	target   target
	compiler compiler
	strict   bool // warnings are errors: the compiler is the one the tree expects
	jobs     int
	ccache   ccache
	folder   string // absolute path of the cache folder
	kernel   string // name of the kernel configuration in conf
	modules  []string
	world    bool
}

func (p plan) src() string  { return filepath.Join(p.folder, "src") }
func (p plan) conf() string { return filepath.Join(p.folder, "conf") }

// objects is the folder that the tree's build makes for this target.
func (p plan) objects() string {
	return filepath.Join(p.folder, "obj") + filepath.Join(p.src(), p.target.String())
}

// leaveOut are parts of the tree whose tools a kernel and a loader do without.
// They are most of a tool chain's time, above all the generators of LLVM.
var leaveOut = []string{
	"CLANG", "LLD", "LLDB", "LLVM_BINUTILS", "KERBEROS", "GAMES", "ICONV", "BSNMP", "ZONEINFO", "RESCUE",
	"TCSH", "FILE", "PMC", "SYSCONS", "USB", "LOCALES", "MAN", "TESTS",
}

// leaveOutWorld are parts that a userland under test does without.
var leaveOutWorld = []string{"CLANG", "LLD", "LLDB", "LLVM_BINUTILS", "LIB32", "MAN"}

// make is a run of the tree's make with the given arguments.
func (p plan) make(args ...string) command {
	var argv []string
	if p.host == "freebsd" {
		argv = []string{"/usr/bin/make", "-C", p.src(), "-DWITH_AUTO_OBJ"}
	} else {
		// bmake's self-tests fail when SIGINT is ignored, as it is under nohup.
		argv = []string{"/usr/bin/env", "--default-signal", "python3", filepath.Join(p.src(), "tools/build/make.py"), "--cross-bindir=" + p.compiler.Dir}
	}
	argv = append(argv, "-DWITHOUT_CLEAN", "TARGET="+p.target.machine, "TARGET_ARCH="+p.target.arch)
	out := leaveOut
	if p.world {
		out = leaveOutWorld
	}
	for _, part := range out {
		argv = append(argv, "-DWITHOUT_"+part)
	}
	return command{argv: append(argv, args...), env: p.env()}
}

// env is the environment of every tool.
func (p plan) env() []string {
	env := []string{
		"PATH=" + toolPath,
		"HOME=/nonexistent",
		"LC_ALL=C",
		"TZ=UTC",
		"TMPDIR=" + filepath.Join(p.folder, "tmp"),
		"MAKEOBJDIRPREFIX=" + filepath.Join(p.folder, "obj"),
		"PYTHONDONTWRITEBYTECODE=1", // make.py must not write into the source
		// The host's own settings are for the host.
		"__MAKE_CONF=/dev/null",
		"SRCCONF=/dev/null",
		"SRC_ENV_CONF=/dev/null",
		"WITH_REPRODUCIBLE_BUILD=yes",
	}
	if !p.strict {
		env = append(env, "WERROR=", "WITHOUT_WERROR=yes")
	}
	if p.world {
		// Debian's clang takes GNU's C++ library for every system.
		env = append(env, "XCXXFLAGS=-stdlib=libc++")
	}
	if p.host == "freebsd" {
		// What make.py does on Linux: the host's compiler, none from the tree.
		dir := p.compiler.Dir
		env = append(env, "XCC="+dir+"/clang", "XCXX="+dir+"/clang++", "XCPP="+dir+"/clang-cpp", "XLD="+dir+"/ld.lld")
	}
	return append(env, p.ccache.env(p.folder)...)
}

// mapping are the flags that keep the folder's path out of what is compiled.
func (p plan) mapping() string {
	return fmt.Sprintf("-ffile-prefix-map=%s=/usr/src -ffile-prefix-map=%s=/usr/obj", p.src(), p.objects())
}

// kernelMapping is mapping, and the same for the headers that a kernel finds
// through links in its folder: the tree maps those itself, to the path of the
// source, unless the compiler was told before. Later trees map them as we do.
func (p plan) kernelMapping() string { return p.mapping() + p.linkMapping() }

// moduleMapping is kernelMapping for modules, whose folders have the path of the
// source inside that of the objects. Of two mappings with one prefix inside the
// other compilers differ in which they obey, so there is none for the whole.
func (p plan) moduleMapping() string {
	kernel := p.kernelFile("")
	return fmt.Sprintf("-ffile-prefix-map=%s=/usr/src -ffile-prefix-map=%s=/usr/obj/modules -ffile-prefix-map=%s/opt_=/usr/obj/opt_",
		p.src(), filepath.Join(kernel, "modules")+p.src(), kernel) + p.linkMapping()
}

func (p plan) linkMapping() string {
	const link = " -fdebug-prefix-map=./%s=/usr/src/sys/%s/include"
	flags := fmt.Sprintf(link, "machine", p.target.machine)
	if p.target.machine == "amd64" {
		flags += fmt.Sprintf(link, "x86", "x86") + fmt.Sprintf(link, "i386", "i386")
	}
	return flags
}

func (p plan) parallel(args ...string) command {
	return p.make(append([]string{"-j" + strconv.Itoa(p.jobs)}, args...)...)
}

// tools builds what the tree needs to build the rest: the kernel's tool chain,
// or the whole userland with its own.
func (p plan) tools() command {
	if p.world {
		return p.parallel("buildworld")
	}
	return p.parallel("kernel-toolchain")
}

func (p plan) buildKernel() command {
	// DEBUG goes to every compilation of kernel and modules, even those that know
	// no other flags. Given here it is set whatever the configuration says: without
	// debugging information no crash has a place in the source.
	args := []string{"buildkernel", "KERNCONF=" + p.kernel, "KERNCONFDIR=" + p.conf(), "DEBUG=-g " + p.kernelMapping()}
	if len(p.modules) == 0 {
		return p.parallel(append(args, "-DNO_MODULES")...)
	}
	return p.parallel(append(args, "MODULES_OVERRIDE="+strings.Join(p.modules, " "), "DEBUG_FLAGS=-g "+p.moduleMapping())...)
}

// loaderScript is the name of the script that buildLoader runs, in conf.
const loaderScript = "loader.sh"

// loader builds the boot loader inside the tree's own build environment, since
// the target "stand" brings parts that do not build on Linux. buildenv cannot be
// parallel itself; the script's makes are.
func (p plan) loader() command {
	return p.make("buildenv", "BUILDENV_SHELL=sh "+filepath.Join(p.conf(), loaderScript))
}

// loaderText is the script. ficl is in trees up to 14 only.
func (p plan) loaderText() string {
	return fmt.Sprintf(`set -e
CFLAGS='-O2 -pipe %s'
export CFLAGS
for part in libsa ficl liblua efi; do
	cd %s/stand
	if [ ! -d $part ]; then
		continue
	fi
	cd $part
	make -j%d obj
	make -j%[3]d all
done
`, p.mapping(), p.src(), p.jobs)
}

// installWorld puts userland and configuration files into dest without
// privileges: METALOG says who owns what.
func (p plan) installWorld(dest string) []command {
	args := []string{"-DNO_ROOT", "-DDB_FROM_SRC", "DESTDIR=" + dest, "METALOG=" + filepath.Join(dest, "METALOG")}
	return []command{
		p.make(append([]string{"installworld"}, args...)...),
		p.make(append([]string{"distribution"}, args...)...),
	}
}

// quote renders a command for a shell, so that a log can be tried by hand.
func (c command) quote() string {
	words := make([]string, 0, len(c.env)+len(c.argv)+2)
	words = append(words, "env", "-i")
	for _, w := range append(append([]string{}, c.env...), c.argv...) {
		if strings.ContainsAny(w, " \t'\"\\$&|;<>()*?#~`") {
			w = "'" + strings.ReplaceAll(w, "'", `'\''`) + "'"
		}
		words = append(words, w)
	}
	return strings.Join(words, " ")
}
