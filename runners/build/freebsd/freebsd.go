// Package freebsd compiles FreeBSD from source: a tree and a recipe become a
// kernel, its modules and a boot loader, as files in a folder. What makes a
// bootable disk of them is elsewhere.
//
// The tree is built by its own entry points: tools/build/make.py with a
// distribution's clang and lld on Linux, make on FreeBSD. Three steps, each done
// only when what it reads has changed: the tools that the tree builds for itself
// (kernel-toolchain), the kernel, the loader. Objects and a copy of the source
// live in a cache folder, one for each tool chain, so that the next commit costs
// what it changed. The tree that the caller gives is only read.
//
// Equal trees and recipes give equal bytes, whatever the cache folder: no
// version control is below the copy, metadata is left out of the version, and
// paths are mapped to /usr/src and /usr/obj.
package freebsd

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"

	"github.com/headwatch/headwatch/runners"
)

// version changes whenever the same inputs would make other files, or whenever
// a cache folder of an older version cannot be used any more.
const version = 1

// keepFolders is how many cache folders stay when the configuration does not
// say. One has 2 GB with a GENERIC kernel.
const keepFolders = 3

// Config says what a Builder works with.
type Config struct {
	Cache string // folder of the caches; made when missing
	Jobs  int    // compilers at a time; 0: one for each CPU
	Keep  int    // cache folders kept, the least recently used goes; 0: 3
	// CCache is the folder of ccache(1), where the host has that: what one folder of
	// objects compiled need not be compiled in another, but for clean builds. Empty:
	// not used.
	CCache string
	// LLVM are patterns of the folders in which to look for clang and ld.lld; nil:
	// where distributions and ports put them.
	LLVM []string
}

// Builder compiles FreeBSD. It is safe for concurrent use; builds that share a
// cache folder wait for each other.
type Builder struct{ cfg Config }

// New returns a Builder.
func New(cfg Config) *Builder {
	cfg.Jobs = cmp.Or(cfg.Jobs, runtime.NumCPU())
	cfg.Keep = cmp.Or(cfg.Keep, keepFolders)
	if cfg.LLVM == nil {
		cfg.LLVM = defaultLLVM
	}
	return &Builder{cfg}
}

// Options are what a build is given besides the recipe and the tree.
type Options struct {
	// Out is the folder that receives the files; made when missing, and replaced
	// file by file. The cache is not referred to by what is in it.
	Out string
	// Clean builds everything from nothing, in a folder of its own that goes
	// afterwards: what an incremental build decided is confirmed so.
	Clean bool
	// Have says whether the caller has kept what these inputs make: a digest of all
	// that decides it. Then nothing is built. Nil: nothing was kept. Not asked for a
	// clean build.
	Have func(inputs string) bool
}

// Product is what a build made: paths below Options.Out.
type Product struct {
	Inputs      string // digest of all that decides the files
	Had         bool   // Options.Have said so: there are no files
	Incremental bool   // objects of an earlier build were used
	key         string // of the objects that an incremental build of these inputs uses

	Kernel  string   // for booting: with symbols, without debugging information
	Debug   string   // the kernel's debugging information; empty: the configuration wants none
	Modules []string // .ko files, sorted
	Loader  string   // loader.efi
	Scripts string   // folder that becomes /boot beside kernel and loader: lua/, defaults/, device.hints
	World   string   // root of the userland, owned by METALOG; empty unless the recipe has World
	Metalog string   // mtree manifest of World: owners, modes, flags
	Release string   // as uname -r says, such as 14.0-CURRENT
	Ident   string   // of the kernel configuration
	Version int      // __FreeBSD_version
}

// Inputs says what Build would read: the paths of the tree, and a digest of
// everything else: recipe, configuration file, compilers, version of this
// package. A tree may lack some of the paths.
func (b *Builder) Inputs(ctx context.Context, r runners.Recipe) (paths []string, salt string, err error) {
	if _, err := newTarget(r); err != nil {
		return nil, "", err
	}
	own, err := readOwnConfig(r)
	if err != nil {
		return nil, "", err
	}
	found, err := findCompilers(ctx, b.cfg.LLVM)
	if err != nil {
		return nil, "", err
	}
	text, err := json.Marshal(struct {
		Version   int
		Recipe    runners.Recipe
		Own       []byte
		Compilers []compiler
	}{version, r, own, found})
	if err != nil {
		return nil, "", err
	}
	return inputs(r), digest(text), nil
}

// Build compiles what the recipe names from the tree at src, which must have the
// paths that Inputs named and is not changed. The output of every tool goes to
// log. A *runners.BuildError says that the tree does not compile; any other
// error is the rig's, or ctx's.
func (b *Builder) Build(ctx context.Context, r runners.Recipe, src string, o Options, log io.Writer) (Product, error) {
	p, err := b.build(ctx, r, src, o, log)
	switch {
	case err == nil:
		return p, nil
	case ctx.Err() != nil:
		err = context.Cause(ctx)
	default:
		err = classed(err)
	}
	fmt.Fprintf(log, "error: %v\n", err)
	return Product{}, err
}

func (b *Builder) build(ctx context.Context, r runners.Recipe, src string, o Options, log io.Writer) (p Product, err error) {
	m, err := b.prepare(ctx, r, src, log)
	if err != nil {
		return p, err
	}
	if o.Out == "" {
		return p, errors.New("no folder for the files: set Options.Out")
	}
	if m.out, err = filepath.Abs(o.Out); err != nil {
		return p, err
	}
	if o.Clean {
		m.ccache = ccache{}
	}
	id := m.identity()
	if !o.Clean && o.Have != nil && o.Have(id) {
		fmt.Fprintf(log, "source: unchanged\n")
		return Product{Inputs: id, Had: true, Release: m.tree.Release, Version: m.tree.Version, Ident: ident}, nil
	}
	fmt.Fprintf(log, "source: FreeBSD %s, %d files; clang %s; tool chain %.12s\n", m.tree.Release, len(m.files), m.compiler.Version, m.chain)
	f, err := b.folder(ctx, m, o.Clean, log)
	if err != nil {
		return p, err
	}
	defer func() { err = errors.Join(err, f.close()) }()
	if err := b.evict(f); err != nil {
		return p, err
	}
	incremental := len(f.files) > 0
	p, err = m.make(ctx, f, log)
	p.Inputs, p.Incremental, p.key = id, incremental, m.key()
	if bad, ok := errors.AsType[*runners.BuildError](err); ok {
		bad.Incremental = incremental
	}
	return p, err
}

// folder opens the cache folder of a tool chain, or an empty one of its own for
// a clean build.
func (b *Builder) folder(ctx context.Context, m *maker, clean bool, log io.Writer) (*folder, error) {
	cache, err := filepath.Abs(b.cfg.Cache)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return nil, err
	}
	if err := noVersionControl(cache); err != nil {
		return nil, err
	}
	if clean {
		return openClean(ctx, cache, m.key(), log)
	}
	return openFolder(ctx, filepath.Join(cache, m.key()[:16]), m.key(), log)
}

// digest is the hex SHA-256 of text.
func digest(text []byte) string {
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}

// classed makes the rig's error of what nobody classified.
func classed(err error) error {
	if bad, ok := errors.AsType[*runners.BuildError](err); ok {
		return bad
	}
	if _, ok := errors.AsType[*runners.InfraError](err); ok {
		return err
	}
	return &runners.InfraError{Op: "build freebsd", Err: err}
}
