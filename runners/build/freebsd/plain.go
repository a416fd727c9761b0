package freebsd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/headwatch/headwatch/runners"
)

// Plain is a tree that is built as people do: by its own commands, in a folder of
// its own, with nothing remembered, checked or collected. Build is measured against
// it. It has one owner, who closes it, and one step at a time.
type Plain struct {
	m   *maker
	f   *folder
	p   plan
	log io.Writer
}

// Plain copies what the recipe reads of the tree at src into a new folder. ccache(1)
// is not used. What the commands say goes to log.
func (b *Builder) Plain(ctx context.Context, r runners.Recipe, src string, log io.Writer) (_ *Plain, err error) {
	m, err := b.prepare(ctx, r, src, log)
	if err != nil {
		return nil, err
	}
	m.ccache = ccache{}
	f, err := b.folder(ctx, m, true, log)
	if err != nil {
		return nil, err
	}
	p := &Plain{m, f, m.plan(f), log}
	defer func() {
		if err != nil {
			err = errors.Join(err, p.Close())
		}
	}()
	if _, err := f.update(ctx, src, m.files); err != nil {
		return nil, err
	}
	if err := m.config.write(f.path("conf")); err != nil {
		return nil, err
	}
	return p, os.WriteFile(filepath.Join(f.path("conf"), loaderScript), []byte(p.p.loaderText()), 0o644)
}

// Source is the folder of its copy of the tree, for changes between two steps.
func (p *Plain) Source() string { return p.p.src() }

// Tools builds what the tree needs to build the rest.
func (p *Plain) Tools(ctx context.Context) error { return p.run(ctx, p.p.tools()) }

// Kernel builds the kernel and its modules.
func (p *Plain) Kernel(ctx context.Context) error { return p.run(ctx, p.p.buildKernel()) }

// Loader builds the boot loader.
func (p *Plain) Loader(ctx context.Context) error { return p.run(ctx, p.p.loader()) }

// Close removes the folder.
func (p *Plain) Close() error { return p.f.close() }

func (p *Plain) run(ctx context.Context, c command) error {
	if err := c.run(ctx, p.log, p.f.lock); err != nil {
		return fmt.Errorf("%s: %w", c.argv[len(c.argv)-1], err)
	}
	return nil
}
