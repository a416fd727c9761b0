package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/headwatch/headwatch/orchestrator/pipeline"
	"github.com/headwatch/headwatch/runners/build"
	"github.com/headwatch/headwatch/runners/build/freebsd"
	"github.com/headwatch/headwatch/runners/qemu"
)

// setupCommand mends what is missing on a machine.
const setupCommand = "make setup"

// finding is what doctor says of one thing.
type finding struct {
	Check  string `json:"check"`
	OK     bool   `json:"ok"`
	Needed bool   `json:"needed"` // false: headwatch works without, but less well
	Detail string `json:"detail"`
	Fix    string `json:"fix,omitempty"` // the command that mends it
}

func doctorCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "doctor", Short: "check this machine, and say how to mend what is wrong",
		Long: `Checks QEMU, acceleration (by running code, not by looking at /dev/kvm), the
pipelines file and the guest kernels that it asks for, makefs, git, disk, ports
and limits. Exit 0 when nothing that is needed is
missing, 125 otherwise.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.doctor(cmd.Context()) },
	}
}

func (a *app) doctor(ctx context.Context) error {
	dir, err := a.stateDir()
	if err != nil {
		return err
	}
	r := qemu.New(qemu.Config{Log: a.logger(slog.LevelWarn)})
	file, pipelines := a.pipelinesFinding()
	findings := []finding{
		checkQEMU(ctx, r), checkUser(r), checkConfined(ctx, r), checkDevices(ctx, r), checkAccel(ctx, r), pipelines,
		checkKernels(slices.Collect(maps.Values(file.Targets))), checkAgents(),
		checkTool(ctx, "git", true, "git", "--version"), checkTool(ctx, "makefs", false, "makefs"), checkFirmware(r), checkFreeBSD(ctx),
		checkDisk(dir), checkPort(dir), checkFiles(),
	}
	if a.json {
		if err := a.document(findings); err != nil {
			return rig(err)
		}
	} else {
		for _, f := range findings {
			a.printFinding(f)
		}
	}
	if slices.ContainsFunc(findings, func(f finding) bool { return !f.OK && f.Needed }) {
		return &exitError{code: exitRig}
	}
	return nil
}

func (a *app) printFinding(f finding) {
	mark := "ok"
	switch {
	case !f.OK && f.Needed:
		mark = "WRONG"
	case !f.OK:
		mark = "note"
	}
	fmt.Fprintf(a.stdout, "%-6s %-12s %s\n", mark, f.Check, f.Detail)
	if f.Fix != "" && !f.OK {
		fmt.Fprintf(a.stdout, "%-6s %-12s mend it with: %s\n", "", "", f.Fix)
	}
}

// preflight checks what no run can do without, quickly, and what else was found.
func preflight(ctx context.Context, more ...finding) error {
	needed := []finding{checkQEMU(ctx, qemu.New(qemu.Config{})), checkAgents(), checkTool(ctx, "git", true, "git", "--version")}
	for _, f := range append(needed, more...) {
		switch {
		case f.OK:
		case strings.Contains(f.Detail, f.Fix): // said already
			return fmt.Errorf("%s: %s", f.Check, f.Detail)
		default:
			return fmt.Errorf("%s: %s; mend it with: %s", f.Check, f.Detail, f.Fix)
		}
	}
	return nil
}

// pipelinesFinding reads the pipelines file that commands would take. When that is
// broken, the rest is checked against the built-in one.
func (a *app) pipelinesFinding() (*pipeline.File, finding) {
	f := finding{Check: "pipelines", Needed: true}
	file, err := a.loadPipeline()
	if err == nil {
		f.OK, f.Detail = true, fmt.Sprintf("%s: %d cells", file.Path, len(file.Cells()))
		return file, f
	}
	f.Detail, _, _ = strings.Cut(err.Error(), "\n")
	f.Fix = "headwatch pipelines check" + a.pipelinesFlag()
	if file, err = builtinPipeline(); err != nil {
		return &pipeline.File{}, f
	}
	return file, f
}

func checkQEMU(ctx context.Context, r *qemu.Runner) finding {
	f := finding{Check: "qemu", Needed: true, Fix: setupCommand}
	v, err := r.Version(ctx)
	if err != nil {
		f.Detail = err.Error()
		return f
	}
	var major, minor int
	fmt.Sscanf(v, "%d.%d", &major, &minor)
	f.OK = major > 7 || (major == 7 && minor >= 2)
	f.Detail = "version " + v
	if !f.OK {
		f.Detail += ", 7.2 or newer is needed"
	}
	return f
}

func checkDevices(ctx context.Context, r *qemu.Runner) finding {
	f := finding{Check: "nics", Needed: true, Fix: setupCommand}
	models, err := r.Devices(ctx)
	if err != nil {
		f.Detail = err.Error()
		return f
	}
	f.OK = slices.Contains(models, "virtio-net")
	f.Detail = strings.Join(models, " ")
	if !f.OK {
		f.Detail = "no virtio-net in this QEMU, only " + f.Detail
	}
	return f
}

func checkAccel(ctx context.Context, r *qemu.Runner) finding {
	accel, detail := r.Probe(ctx)
	f := finding{Check: "acceleration", OK: accel == "kvm", Detail: accel + ": " + detail}
	if f.OK {
		return f
	}
	f.Detail += "; emulation works, slowly"
	switch kvm, err := os.OpenFile("/dev/kvm", os.O_RDWR, 0); {
	case errors.Is(err, fs.ErrNotExist):
		f.Fix = "modprobe -a kvm_intel kvm_amd"
	case errors.Is(err, fs.ErrPermission):
		f.Fix = `usermod -aG kvm "$USER" # and log in again`
	case err == nil:
		kvm.Close() // there, and does not work: nothing that a command here could mend
	}
	return f
}

func checkAgents() finding {
	f := finding{Check: "agents", OK: true, Needed: true, Fix: "make build"}
	for _, os := range []string{"linux", "freebsd"} {
		if _, err := build.Agent(os, "amd64"); err != nil {
			f.OK, f.Detail = false, err.Error()
			return f
		}
	}
	f.Detail = "in this binary for linux and freebsd"
	return f
}

func checkTool(ctx context.Context, name string, needed bool, command ...string) finding {
	f := finding{Check: name, Needed: needed, Fix: setupCommand}
	path, err := exec.LookPath(command[0])
	if err != nil {
		f.Detail = command[0] + " is not on the PATH"
		return f
	}
	f.OK, f.Detail = true, path
	if len(command) > 1 {
		out, err := exec.CommandContext(ctx, path, command[1:]...).Output()
		if err != nil {
			f.OK, f.Detail = false, fmt.Sprintf("%s: %v", strings.Join(command, " "), err)
			return f
		}
		f.Detail = strings.TrimSpace(string(out))
	}
	return f
}

func checkFirmware(r *qemu.Runner) finding {
	return told(finding{Check: "firmware", Fix: setupCommand}, r.UEFI)
}

// checkUser says as whom QEMU runs: a guest that breaks out should find nothing.
func checkUser(r *qemu.Runner) finding {
	f := told(finding{Check: "qemu's user", Needed: true, Fix: "useradd --system --no-create-home nobody"}, r.User)
	f.OK = f.OK && f.Detail != "root"
	return f
}

// checkConfined says what keeps QEMU from the rest of this host.
func checkConfined(ctx context.Context, r *qemu.Runner) finding {
	f := finding{Check: "confinement", Fix: "sysctl -w kernel.unprivileged_userns_clone=1 # or run headwatch outside of a container"}
	all, err := r.Protections(ctx)
	if err != nil {
		f.Detail = err.Error()
		return f
	}
	on, off := []string{"limits of memory, files and cores"}, []string(nil)
	for _, p := range all {
		if p.Off == nil {
			on = append(on, p.Name)
		} else {
			off = append(off, fmt.Sprintf("%s (%v)", p.Name, p.Off))
		}
	}
	f.OK, f.Detail = len(off) == 0, strings.Join(on, ", ")
	if !f.OK {
		f.Detail = strings.TrimPrefix(f.Detail+"; without: "+strings.Join(off, ", "), "; ")
	}
	return f
}

// checkFreeBSD says whether FreeBSD can be built from source here.
func checkFreeBSD(ctx context.Context) finding {
	return told(finding{Check: "freebsd", Fix: "make setup-freebsd"}, func() (string, error) { return freebsd.CheckHost(ctx) })
}

// told fills in what a check says, or what is wrong.
func told(f finding, ask func() (string, error)) finding {
	detail, err := ask()
	f.OK, f.Detail = err == nil, detail
	if err != nil {
		f.Detail = err.Error()
	}
	return f
}

// wantDisk is what a state directory should find free: a few images, mirrors and
// logs; a FreeBSD build wants ten times that.
const wantDisk = 2 << 30

func checkDisk(dir string) finding {
	f := finding{Check: "disk", Needed: true, Fix: "headwatch doctor --state /larger/headwatch # a folder on another file system"}
	at := dir
	for {
		if _, err := os.Stat(at); err == nil || at == filepath.Dir(at) {
			break
		}
		at = filepath.Dir(at)
	}
	var st syscall.Statfs_t
	if err := syscall.Statfs(at, &st); err != nil {
		f.Detail = fmt.Sprintf("%s: %v", at, err)
		return f
	}
	free := uint64(st.Bavail) * uint64(st.Bsize)
	f.OK = free >= wantDisk
	f.Detail = fmt.Sprintf("%.1f GiB free for %s", float64(free)/(1<<30), dir)
	return f
}

// checkPort looks whether the dashboard's port is free, or ours.
func checkPort(dir string) finding {
	f := finding{Check: "port", OK: true, Detail: defaultListen + " is free", Fix: "headwatch serve --listen 127.0.0.1:0"}
	l, err := net.Listen("tcp", defaultListen)
	if err == nil {
		l.Close()
		return f
	}
	if who, ok := findOwner(dir); ok && strings.Contains(who.URL, defaultListen) {
		f.Detail = fmt.Sprintf("%s is headwatch %s's, process %d", defaultListen, who.Command, who.PID)
		return f
	}
	f.OK, f.Detail = false, err.Error()
	if errors.Is(err, syscall.EADDRINUSE) {
		f.Detail = defaultListen + " is taken by another program"
	}
	return f
}

// wantFiles is the number of open files that a worker per processor, a mirror
// and a few dozen readers of the dashboard can need.
const wantFiles = 1024

func checkFiles() finding {
	f := finding{Check: "open files", Needed: true, Fix: fmt.Sprintf("ulimit -n %d", wantFiles)}
	var l syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l); err != nil {
		f.Detail = err.Error()
		return f
	}
	f.OK = uint64(l.Cur) >= wantFiles
	f.Detail = fmt.Sprintf("limit %d, %d processors", l.Cur, runtime.NumCPU())
	return f
}
