package freebsd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"time"

	"github.com/headwatch/headwatch/runners"
)

// The steps of a build, as errors name them.
const (
	stepTools    = "build the tree's own tools"
	stepUserland = "build the userland"
	stepKernel   = "build the kernel"
	stepLoader   = "build the boot loader"
	stepWorld    = "install the userland"
)

// maker is one build: what was read of recipe, tree and host.
type maker struct {
	recipe   runners.Recipe
	src      string // the caller's tree
	out      string
	tree     Tree
	target   target
	config   kernelConfig
	compiler compiler
	hostCC   string // first line of cc --version: it compiles the tree's tools
	jobs     int
	ccache   ccache
	files    []file // of the caller's tree, those that the build reads
	chain    string // digest of those that decide how everything is built
}

// prepare reads and checks everything that a build depends on.
func (b *Builder) prepare(ctx context.Context, r runners.Recipe, src string, log io.Writer) (*maker, error) {
	m := &maker{recipe: r, src: src, jobs: b.cfg.Jobs, ccache: findCCache(b.cfg.CCache, exists)}
	var err error
	if m.target, err = newTarget(r); err != nil {
		return nil, err
	}
	if m.tree, err = ReadTree(src); err != nil {
		return nil, err
	}
	own, err := readOwnConfig(r)
	if err != nil {
		return nil, err
	}
	if m.config, err = newKernelConfig(r, own); err != nil {
		return nil, err
	}
	if err := m.config.check(r, src, m.target); err != nil {
		return nil, err
	}
	if runtime.GOOS == "linux" {
		if err := checkHost(hostRequirements, exists); err != nil {
			return nil, err
		}
		if err := checkEnv(ctx); err != nil {
			return nil, err
		}
	}
	found, err := findCompilers(ctx, b.cfg.LLVM)
	if err != nil {
		return nil, err
	}
	m.compiler = chooseCompiler(found, m.tree)
	if m.tree.Clang != 0 && m.compiler.Major != m.tree.Clang {
		fmt.Fprintf(log, "warning: the tree is made for clang %d, this host has %s: compiler warnings are no errors\n", m.tree.Clang, m.compiler.Version)
	}
	if m.hostCC, err = ask(ctx, "/usr/bin/cc"); err != nil {
		return nil, err
	}
	if m.files, err = scan(ctx, src, inputs(r), needless(r)); err != nil {
		return nil, err
	}
	m.chain = digestFiles(m.files, chainInputs)
	return m, nil
}

// checkEnv makes sure that env can reset signal dispositions.
func checkEnv(ctx context.Context) error {
	if err := exec.CommandContext(ctx, "/usr/bin/env", "--default-signal", "true").Run(); err != nil {
		return &runners.InfraError{Op: "build FreeBSD on this host", Err: fmt.Errorf("env --default-signal: %w", err),
			Hint: "install the Debian package coreutils, 8.31 or later"}
	}
	return nil
}

// key identifies the cache folder: everything that its tool chain is made of.
func (m *maker) key() string {
	return digest(fmt.Appendf(nil, "version %d\n%s\nworld %t\n%+v\n%s\n%s\n", version, m.target, m.recipe.World, m.compiler, m.hostCC, m.chain))
}

// identity is a digest of everything that decides what the build makes.
func (m *maker) identity() string {
	return digest(fmt.Appendf(nil, "%s\n%+v\n%q\n%s\n", m.key(), m.config, m.recipe.Modules, digestFiles(m.files, nil)))
}

// plan is what the command lines in folder f depend on.
func (m *maker) plan(f *folder) plan {
	return plan{
		host:     runtime.GOOS,
		target:   m.target,
		compiler: m.compiler,
		strict:   m.tree.Clang == 0 || m.compiler.Major == m.tree.Clang,
		jobs:     m.jobs,
		ccache:   m.ccache,
		folder:   f.dir,
		kernel:   m.config.name,
		modules:  m.recipe.Modules,
		world:    m.recipe.World,
	}
}

// make brings the folder's source up to date, runs the steps that are needed and
// copies what they made.
func (m *maker) make(ctx context.Context, f *folder, log io.Writer) (Product, error) {
	p := m.plan(f)
	c, err := f.update(ctx, m.src, m.files)
	if err != nil {
		return Product{}, err
	}
	fmt.Fprintf(log, "source: %d files written, %d removed\n", len(c.write), len(c.remove))
	if err := m.config.write(f.path("conf")); err != nil {
		return Product{}, err
	}
	if err := writeIfChanged(f.path("conf", loaderScript), []byte(p.loaderText())); err != nil {
		return Product{}, err
	}
	for _, step := range []func(context.Context, *folder, plan, io.Writer) error{m.makeTools, m.makeKernel, m.makeLoader} {
		if err := step(ctx, f, p, log); err != nil {
			return Product{}, err
		}
	}
	if err := os.MkdirAll(m.out, 0o755); err != nil {
		return Product{}, err
	}
	product, err := m.collect(p)
	if err != nil || !p.world {
		return product, err
	}
	return m.makeWorld(ctx, f, p, product, log)
}

func (m *maker) makeTools(ctx context.Context, f *folder, p plan, log io.Writer) error {
	// A userland is what is asked for then, not a means, and all of the tree.
	if !p.world && f.state.Tools.holds(m.files, toolInputs) {
		return nil
	}
	step := stepTools
	if p.world {
		step = stepUserland
	}
	var made inputSet
	return f.step(ctx, "tools", func() (err error) {
		if err = m.run(ctx, step, p.tools(), f, p, log); err != nil {
			return err
		}
		made, err = usedBy(p, filepath.Join(p.objects(), "tmp"), m.files, toolInputs)
		return err
	}, func() { f.state.Tools = made })
}

func (m *maker) makeKernel(ctx context.Context, f *folder, p plan, log io.Writer) error {
	name, inputs := m.config.name, digestFiles(m.files, nil)
	if f.state.Kernels[name].Inputs == inputs && exists(p.kernelFile("kernel")) {
		fmt.Fprintf(log, "kernel: unchanged\n")
		f.state.Kernels[name] = kernelState{Inputs: inputs, Used: time.Now()}
		return f.save()
	}
	if err := f.forgetKernels(name); err != nil {
		return err
	}
	f.state.Kernels[name] = kernelState{Used: time.Now()}
	return f.step(ctx, name, func() error { return m.run(ctx, stepKernel, p.buildKernel(), f, p, log) },
		func() { f.state.Kernels[name] = kernelState{Inputs: inputs, Used: time.Now()} })
}

func (m *maker) makeLoader(ctx context.Context, f *folder, p plan, log io.Writer) error {
	if f.state.Loader.holds(m.files, loaderOwn) && exists(p.loaderFile()) {
		fmt.Fprintf(log, "loader: unchanged\n")
		return nil
	}
	f.state.Loader = nil
	var made inputSet
	return f.step(ctx, "loader", func() (err error) {
		if err = m.run(ctx, stepLoader, p.loader(), f, p, log); err != nil {
			return err
		}
		made, err = usedBy(p, filepath.Join(p.objects(), "stand"), m.files, loaderOwn)
		return err
	}, func() { f.state.Loader = made })
}

// makeWorld installs the userland that makeTools built into the product.
func (m *maker) makeWorld(ctx context.Context, f *folder, p plan, product Product, log io.Writer) (Product, error) {
	dest := filepath.Join(m.out, "world")
	if err := os.RemoveAll(dest); err != nil {
		return product, err
	}
	if err := os.MkdirAll(dest, 0o755); err != nil {
		return product, err
	}
	for _, c := range p.installWorld(dest) {
		if err := m.run(ctx, stepWorld, c, f, p, log); err != nil {
			return product, err
		}
	}
	product.World, product.Metalog = dest, filepath.Join(dest, "METALOG")
	return product, nil
}

// run runs a command and explains how it failed.
func (m *maker) run(ctx context.Context, step string, c command, f *folder, p plan, log io.Writer) error {
	start := time.Now()
	fmt.Fprintf(log, "%s\n", step)
	seen := &faults{log: log}
	err := c.run(ctx, seen, f.lock)
	if exit, ok := errors.AsType[*errExit](err); ok {
		return seen.explain(step, p, m.config, exit)
	}
	if err == nil {
		fmt.Fprintf(log, "%s: done in %.1f s\n", step, time.Since(start).Seconds())
	}
	return err
}
