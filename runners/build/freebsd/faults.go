package freebsd

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"path"
	"regexp"
	"strings"

	"github.com/headwatch/headwatch/runners"
)

const (
	maxLine = 4 << 10 // bytes of an output line that are looked at
	maxText = 400     // bytes of a line that is quoted
)

// faults passes a build's output on and remembers what explains a failure. It
// keeps the first of each kind: with several compilers at work, what comes later
// is often a consequence.
type faults struct {
	log  io.Writer
	line []byte
	over bool // the rest of this line is not looked at

	host     string // the rig's fault: no space, killed, missing header
	hint     string
	compiler string // file:line:col: error: …
	linker   string // ld: error: …
	from     string // file:line that the linker named after it
	config   *configFault
	make     string // a makefile's fault
	command  string // a command that exited non-zero
	where    string // folder in which make stopped
	before   string // last line before make stopped
	last     string // last line before command
	stage    int    // of buildworld: below userlandStage it makes tools for this host
}

// userlandStage is the first stage of buildworld that compiles what will run on
// FreeBSD (Makefile.inc1).
const userlandStage = 4

var (
	compilerError = regexp.MustCompile(`^(\S+?):(\d+)(?::\d+)?: (?:fatal )?error: .+`)
	linkerError   = regexp.MustCompile(`^(?:\S*/)?ld(?:\.lld)?: error: .+`)
	linkerFrom    = regexp.MustCompile(`^>>> (?:referenced by|defined (?:at|in)) (?:\S+ \()?([^\s()]+:\d+)\)?`)
	makeFault     = regexp.MustCompile(`^(?:b?make(?:\[\d+\])?: )+(".+" line \d+: .+|don't know how to make .+)`)
	makeGaveUp    = regexp.MustCompile(`^(?:b?make(?:\[\d+\])?: )+(Fatal errors encountered|don't know how to make )`)
	makeExit      = regexp.MustCompile(`^\*\*\* (?:\[(.+?)\] )?(Error code \d+|Signal \d+)`)
	worldStage    = regexp.MustCompile(`^>>> stage (\d+)\.\d+:`)
	makeStopped   = regexp.MustCompile(`^b?make(?:\[\d+\])?: stopped in (\S+)`)
	missingHeader = regexp.MustCompile(`fatal error: '?([\w./+-]+\.h)'?(?: file not found|: No such file or directory)`)
	missingLib    = regexp.MustCompile(`ld: cannot find -l([\w.+-]+)`)
	hostTrouble   = regexp.MustCompile(`No space left on device|Disk quota exceeded|Cannot allocate memory|virtual memory exhausted|out of memory|Too many open files|Input/output error|Read-only file system|unable to execute command: |frontend command failed|PLEASE submit a bug report|Could not infer value for|Resource temporarily unavailable`)
)

// hostHeaders are the Debian packages of headers that the tree's own tools use.
var hostHeaders = map[string]string{
	"archive.h": "libarchive-dev", "archive_entry.h": "libarchive-dev", "bzlib.h": "libbz2-dev",
	"zlib.h": "zlib1g-dev", "stdio.h": "libc6-dev", "stdlib.h": "libc6-dev", "lzma.h": "liblzma-dev",
	"openssl/evp.h": "libssl-dev", "openssl/sha.h": "libssl-dev", "md5.h": "libmd-dev",
}

// hostLibs are the Debian packages of libraries.
var hostLibs = map[string]string{"archive": "libarchive-dev", "bz2": "libbz2-dev", "z": "zlib1g-dev"}

// Write takes output in pieces of any size. It never fails but for log's errors.
func (f *faults) Write(p []byte) (int, error) {
	n, err := f.log.Write(p)
	for rest := p; len(rest) > 0; {
		piece, after, end := bytes.Cut(rest, []byte{'\n'})
		if room := maxLine - len(f.line); len(piece) > room {
			piece, f.over = piece[:room], true
		}
		f.line = append(f.line, piece...)
		if end {
			f.look(strings.TrimRight(string(f.line), "\r"))
			f.line, f.over = f.line[:0], false
		}
		rest = after
	}
	return n, err
}

// look judges one line.
func (f *faults) look(line string) {
	header := missingHeader.FindStringSubmatch(line)
	lib := missingLib.FindStringSubmatch(line)
	switch {
	case line == "":
		return
	case line[0] != ' ' && line[0] != '\t' && hostTrouble.MatchString(line): // indented, it is source that a compiler quotes
		keep(&f.host, line)
	case worldStage.MatchString(line):
		f.stage = int(worldStage.FindStringSubmatch(line)[1][0] - '0')
	case header != nil && hostHeaders[header[1]] != "" && f.host == "" && f.stage < userlandStage:
		keep(&f.compiler, line)
		f.host, f.hint = cut(line), "install the Debian package "+hostHeaders[header[1]]
	case lib != nil && hostLibs[lib[1]] != "" && f.host == "" && f.stage < userlandStage:
		f.host, f.hint = cut(line), "install the Debian package "+hostLibs[lib[1]]
	case compilerError.MatchString(line):
		keep(&f.compiler, line)
	case linkerError.MatchString(line):
		keep(&f.linker, line)
	case makeGaveUp.MatchString(line) && f.make == "":
		f.make = cut(cmp.Or(f.last, line))
		if !strings.Contains(line, "Fatal errors") {
			f.make = cut(line)
		}
	}
	if m := linkerFrom.FindStringSubmatch(line); m != nil && f.linker != "" {
		keep(&f.from, m[1])
	}
	if m := makeStopped.FindStringSubmatch(line); m != nil {
		keep(&f.where, m[1])
		keep(&f.before, f.last)
	}
	if m := makeExit.FindStringSubmatch(line); m != nil && f.command == "" {
		f.command = m[2]
		if m[1] != "" {
			f.command = m[1] + ": " + m[2]
		}
		if strings.HasPrefix(m[2], "Signal") {
			keep(&f.host, "a tool was killed: "+line)
		}
		if f.last != "" {
			f.command += ": " + f.last
		}
	}
	if f.config == nil && f.command == "" {
		if c, ok := readConfigFault(line); ok && !compilerError.MatchString(line) {
			f.config = &c
		}
	}
	if makeFault.MatchString(line) || !strings.HasPrefix(line, "***") && !makeStopped.MatchString(line) {
		f.last = cut(line)
	}
}

func keep(at *string, line string) {
	if *at == "" {
		*at = cut(line)
	}
}

// cut bounds a quoted line.
func cut(line string) string {
	if len(line) > maxText {
		return strings.ToValidUTF8(line[:maxText], "") + "…"
	}
	return line
}

// errUnexplained says that a tool failed without a word that we know.
var errUnexplained = errors.New("failed without an error that is known; see the log")

func (f *faults) unexplained() error {
	if f.before == "" {
		return errUnexplained
	}
	return fmt.Errorf("%w; the last line before make stopped was %q", errUnexplained, f.before)
}

// explain makes an error of how a step ended. Only the kernel's and the loader's
// own steps, and the userland's, can find the source at fault: the tools before
// them are built with the host's compiler against the host's headers, and what does
// not compile there says nothing about FreeBSD.
func (f *faults) explain(step string, p plan, c kernelConfig, exit *errExit) error {
	f.look(strings.TrimRight(string(f.line), "\r"))
	if f.host != "" {
		return &runners.InfraError{Op: step, Err: errors.New(p.shorten(f.host)), Hint: f.hint}
	}
	if step == stepTools || step == stepUserland && f.stage < userlandStage {
		what := cmp.Or(f.compiler, f.linker, f.make, f.command, f.unexplained().Error())
		return &runners.InfraError{Op: step, Err: errors.New(p.shorten(what)),
			Hint: "this host cannot build the tools of this tree: " + p.compiler.Full}
	}
	if step == stepKernel && f.config != nil && f.compiler == "" && f.linker == "" {
		err := c.blame(*f.config)
		if bad, ok := errors.AsType[*runners.BuildError](err); ok {
			bad.Reason = p.shorten(bad.Reason)
		}
		return err
	}
	what := cmp.Or(f.compiler, f.linker, f.make, f.command)
	switch {
	case what == "":
		return &runners.InfraError{Op: step, Err: fmt.Errorf("%w: %w", exit, f.unexplained())}
	case what == f.linker && f.from != "":
		what = f.from + ": " + what
	case what == f.command:
		what = fmt.Sprintf("%s (in %s)", what, cmp.Or(f.where, "an unnamed folder"))
	}
	if name := p.outside(what); name != "" {
		return &runners.InfraError{Op: step, Err: fmt.Errorf("%s: the build wants %s, which is not among its inputs", p.shorten(what), name),
			Hint: "this version of headwatch does not know this tree's layout"}
	}
	return &runners.BuildError{Reason: p.shorten(what)}
}

// outside finds a path of the tree in a fault that the build was never given,
// since it is none of its inputs: then the source is not to blame.
func (p plan) outside(text string) string {
	_, rest, ok := strings.Cut(text, p.src()+"/")
	if !ok {
		return ""
	}
	if end := strings.IndexAny(rest, " '\":()"); end >= 0 {
		rest = rest[:end]
	}
	name := path.Clean(strings.TrimRight(rest, ".,"))
	if name == "." || below(name, inputs(runners.Recipe{World: p.world})) {
		return ""
	}
	return name
}

// shorten writes paths of the cache folder as the tree's own.
func (p plan) shorten(text string) string {
	return strings.NewReplacer(p.objects()+"/", "obj/", p.objects(), "obj", p.src()+"/", "", p.conf()+"/", "").Replace(text)
}
