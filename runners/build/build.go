// Package build turns sources into images. Its Builder hands a recipe to the
// package that makes such images, and reads images from the store in which they
// all keep them; the agents that travel in this binary are here too.
package build

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/headwatch/headwatch/runners"
	"github.com/headwatch/headwatch/runners/build/images"
	"github.com/headwatch/headwatch/runners/build/linux"
)

// Config says what a Builder works with.
type Config struct {
	Store   *images.Store
	Kernels string // folder of unpacked Linux kernel packages; see linux.DefaultKernels
	Cache   string // folder for objects of builds from source; made when needed
	// Structs are the kernel structures whose layouts are kept beside an image, for
	// those who read counters from raw bytes.
	Structs []string
	// Agent returns the guest agent for an OS and an architecture, the same for
	// the life of the Builder. The function Agent of this package is one.
	Agent func(os, arch string) ([]byte, error)
}

// maker makes images from one kind of source.
type maker interface {
	Inputs(ctx context.Context, r runners.Recipe) (paths []string, salt string, err error)
	Build(ctx context.Context, r runners.Recipe, t runners.Tree, log io.Writer) (runners.Image, error)
}

// Builder makes images. It is safe for concurrent use and implements
// runners.Builder.
type Builder struct {
	store  *images.Store
	makers map[source]maker
}

// source is what decides who makes an image.
type source struct{ os, source string }

var _ runners.Builder = (*Builder)(nil)

// New returns a Builder.
func New(cfg Config) *Builder {
	return &Builder{store: cfg.Store, makers: map[source]maker{
		{"linux", "package"}:     linux.New(linux.Config{Store: cfg.Store, Kernels: cfg.Kernels, Agent: cfg.Agent}),
		{"freebsd", "tree"}:      newFreeBSDTree(cfg),
		{"freebsd", "artifacts"}: &published{cfg},
	}}
}

// Inputs says what Build would read. See runners.Builder.
func (b *Builder) Inputs(ctx context.Context, r runners.Recipe) ([]string, string, error) {
	m, err := b.maker(r)
	if err != nil {
		return nil, "", err
	}
	return m.Inputs(ctx, r)
}

// Build makes an image. See runners.Builder.
func (b *Builder) Build(ctx context.Context, r runners.Recipe, t runners.Tree, log io.Writer) (runners.Image, error) {
	m, err := b.maker(r)
	if err != nil {
		return runners.Image{}, err
	}
	img, err := m.Build(ctx, r, t, log)
	if err != nil {
		fmt.Fprintf(log, "error: %v\n", err)
	}
	return img, err
}

// Open verifies an image and lays it out. See images.Store.Open.
func (b *Builder) Open(ctx context.Context, id, dir string) (runners.Bootable, error) {
	return b.store.Open(ctx, id, dir)
}

// kernelDebug is what the debugging information of an image's kernel is called in
// the store.
const kernelDebug = "kernel.debug"

// Debug verifies the debugging information of an image's kernel and writes it into
// dir. See runners.Builder.
func (b *Builder) Debug(ctx context.Context, image, dir string) (string, error) {
	path, err := b.store.Attached(ctx, image, kernelDebug, dir)
	if errors.Is(err, images.ErrNotAttached) {
		return "", nil
	}
	return path, err
}

func (b *Builder) maker(r runners.Recipe) (maker, error) {
	m, ok := b.makers[source{r.OS, r.Source}]
	if !ok {
		return nil, &runners.InfraError{
			Op:   fmt.Sprintf("build %s/%s", r.OS, r.Arch),
			Err:  fmt.Errorf("source %q: there is none for %s", r.Source, r.OS),
			Hint: "correct the target in pipelines.yaml",
		}
	}
	return m, nil
}
