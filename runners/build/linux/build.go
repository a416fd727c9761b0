// Package linux makes images of the Linux guest: the kernel and modules of a
// distribution's kernel package, the guest agent as /init, and the overlay, a
// folder of the commit's tree that configures the guest (docs/linux-guest.md).
// The initial RAM file system has two parts: one that all commits of a target
// share, and a small one of the commit's own. Equal inputs make equal bytes.
package linux

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"

	"github.com/headwatch/headwatch/runners"
	"github.com/headwatch/headwatch/runners/build/images"
)

// version changes whenever the same inputs would make another image.
const version = 1

// maxCmdline is the length in bytes of an image's kernel arguments. Linux cuts
// off what goes beyond 2048; the rest is for what the runner adds.
const maxCmdline = 1536

// maxStrange is how many unknown entries of an overlay the log names.
const maxStrange = 20

// Config says what a Builder works with.
type Config struct {
	Store *images.Store
	// Kernels is the folder of unpacked kernel packages that set-up made, with
	// cloud/ and generic/ in it.
	Kernels string
	// Agent returns the guest agent for an OS and an architecture, the same for
	// the life of the Builder.
	Agent func(os, arch string) ([]byte, error)
}

// Builder makes images. It is safe for concurrent use.
type Builder struct {
	cfg     Config
	digests digests
}

// New returns a Builder.
func New(cfg Config) *Builder { return &Builder{cfg: cfg} }

// Inputs says what Build would read. See runners.Builder.
func (b *Builder) Inputs(ctx context.Context, r runners.Recipe) ([]string, string, error) {
	if err := checkRecipe(r); err != nil {
		return nil, "", err
	}
	k, err := b.findKernel(r)
	if err != nil {
		return nil, "", err
	}
	kernel, err := k.identity(ctx, &b.digests)
	if err != nil {
		return nil, "", rigFault(ctx, "kernel package "+r.Kernel, err)
	}
	agent, err := b.agent(r)
	if err != nil {
		return nil, "", err
	}
	recipe, err := json.Marshal(r)
	if err != nil {
		return nil, "", err
	}
	sum := sha256.New()
	fmt.Fprintf(sum, "linux guest, version %d\n%s\n%s\n%x\n", version, recipe, kernel, sha256.Sum256(agent))
	var paths []string
	if r.Overlay != "" {
		paths = []string{r.Overlay}
	}
	return paths, digestString(sum.Sum(nil)), nil
}

// Build makes an image. See runners.Builder; a Linux build is always a clean one.
func (b *Builder) Build(ctx context.Context, r runners.Recipe, t runners.Tree, log io.Writer) (runners.Image, error) {
	if err := checkRecipe(r); err != nil {
		return runners.Image{}, err
	}
	k, err := b.findKernel(r)
	if err != nil {
		return runners.Image{}, err
	}
	fmt.Fprintf(log, "kernel %s\nkernel package: %s\n", k.release, cmp.Or(k.version, "no VERSION in its folder"))
	agent, err := b.agent(r)
	if err != nil {
		return runners.Image{}, err
	}
	fmt.Fprintf(log, "agent: linux/%s, %d bytes\n", r.Arch, len(agent))
	o, err := readOverlay(ctx, t.Dir, r.Overlay)
	if err != nil {
		return runners.Image{}, rigFault(ctx, "read overlay", err)
	}
	defer o.close()
	logOverlay(log, o)
	cmdline, err := joinCmdline(r, o)
	if err != nil {
		return runners.Image{}, err
	}
	fmt.Fprintf(log, "cmdline: %s\n", cmdline)
	common, commit, err := b.trees(ctx, r, k, agent, o, log)
	if err != nil {
		return runners.Image{}, err
	}
	m := images.Manifest{OS: r.OS, Arch: r.Arch, Release: k.release, Cmdline: cmdline}
	img, err := b.cfg.Store.Put(ctx, m, images.FileArtifact(images.RoleKernel, k.image), common.artifact(), commit.artifact())
	if err != nil {
		return runners.Image{}, err
	}
	fmt.Fprintf(log, "image: %s, %d bytes\n", img.ID, img.Size)
	return img, nil
}

// trees resolves modules and lays out both parts of the initial RAM file system.
func (b *Builder) trees(ctx context.Context, r runners.Recipe, k kernelPackage, agent []byte, o *overlay, log io.Writer) (common, commit *tree, err error) {
	mods, err := findModules(ctx, k)
	if err != nil {
		return nil, nil, rigFault(ctx, "kernel package "+r.Kernel, err)
	}
	for _, name := range channelModules {
		if !mods.has(name) {
			fmt.Fprintf(log, "warning: this kernel has no %s: the agent can be reached with control: serial only\n", name)
		}
	}
	loaded := make(map[string]bool)
	var names []string
	for _, name := range baseModules {
		if mods.has(name) {
			names = append(names, name)
		}
	}
	shared, err := mods.closure(ctx, append(names, r.Modules...), loaded)
	if unknown, ok := errors.AsType[*unknownModule](err); ok {
		return nil, nil, recipeError(r, "%v", unknown)
	}
	if err != nil {
		return nil, nil, rigFault(ctx, "modules of kernel "+k.release, err)
	}
	logModules(log, "modules", shared)
	var own []module
	for _, name := range o.modules {
		more, err := mods.closure(ctx, []string{name.word}, loaded)
		if unknown, ok := errors.AsType[*unknownModule](err); ok {
			return nil, nil, o.blame(fmt.Sprintf("modules:%d", name.line), "%v", unknown)
		}
		if err != nil {
			return nil, nil, rigFault(ctx, "modules of kernel "+k.release, err)
		}
		own = append(own, more...)
	}
	if len(own) > 0 {
		logModules(log, "modules of the overlay", own)
	}
	common = commonTree(agent, shared)
	commit, err = commitTree(common, shared, own, o)
	return common, commit, err
}

func (b *Builder) agent(r runners.Recipe) ([]byte, error) {
	agent, err := b.cfg.Agent(r.OS, r.Arch)
	if err != nil {
		return nil, &runners.InfraError{Op: "guest agent", Err: err}
	}
	return agent, nil
}

// checkRecipe refuses what this Builder cannot make.
func checkRecipe(r runners.Recipe) error {
	switch {
	case kernelSymbol[r.Arch] == "":
		return recipeError(r, "arch %q: expected amd64 or arm64", r.Arch)
	case r.Overlay != "" && checkNodeName(r.Overlay) != nil:
		return recipeError(r, "overlay %q: expected a folder of the tree, as guest", r.Overlay)
	}
	return nil
}

// recipeError says that the pipeline, not the source, asks for what cannot be.
func recipeError(r runners.Recipe, format string, args ...any) error {
	return &runners.InfraError{
		Op:   fmt.Sprintf("recipe for %s/%s", r.OS, r.Arch),
		Err:  fmt.Errorf(format, args...),
		Hint: "correct the target in pipelines.yaml",
	}
}

// rigFault classes what is neither the source's fault nor a cancellation.
func rigFault(ctx context.Context, op string, err error) error {
	if bad, ok := errors.AsType[*runners.BuildError](err); ok {
		return bad
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return &runners.InfraError{Op: op, Err: err}
}

// joinCmdline puts the target's kernel arguments before the overlay's.
func joinCmdline(r runners.Recipe, o *overlay) (string, error) {
	own := strings.Join(r.Cmdline, " ")
	if err := checkText(own); err != nil {
		return "", recipeError(r, "cmdline: %v", err)
	}
	if len(own) > maxCmdline {
		return "", recipeError(r, "cmdline of %d bytes: at most %d", len(own), maxCmdline)
	}
	all := strings.TrimSpace(own + " " + strings.Join(o.cmdline, " "))
	if len(all) > maxCmdline {
		return "", o.blame("cmdline", "kernel arguments of %d bytes with the target's: at most %d", len(all), maxCmdline)
	}
	return all, nil
}

func logOverlay(log io.Writer, o *overlay) {
	if o.root == nil {
		fmt.Fprintf(log, "overlay: none\n")
		return
	}
	fmt.Fprintf(log, "overlay: %s: %d kernel arguments, %d modules, %d sysctls, %d files and folders of %d bytes\n",
		o.name, len(o.cmdline), len(o.modules), len(o.sysctls), len(o.files), o.size)
	for i, name := range o.strange {
		if i == maxStrange {
			fmt.Fprintf(log, "warning: and %d more\n", len(o.strange)-i)
			return
		}
		fmt.Fprintf(log, "warning: %q is no part of an overlay: ignored\n", path.Join(o.name, name))
	}
}

func logModules(log io.Writer, what string, list []module) {
	var size int64
	names := make([]string, len(list))
	for i, m := range list {
		names[i] = m.name
		size += m.size
	}
	fmt.Fprintf(log, "%s: %s, %d bytes\n", what, strings.Join(names, " "), size)
}
