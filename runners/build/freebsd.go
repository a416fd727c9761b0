package build

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/google/renameio/v2"

	"github.com/headwatch/headwatch/runners"
	"github.com/headwatch/headwatch/runners/build/disk"
	"github.com/headwatch/headwatch/runners/build/freebsd"
	"github.com/headwatch/headwatch/runners/build/images"
	"github.com/headwatch/headwatch/runners/build/layout"
)

// freebsdVersion changes whenever the same files would make another image.
const freebsdVersion = 1

// freebsdTree makes images of FreeBSD from source trees: package freebsd compiles,
// package disk lays out, and what came of which inputs is remembered, so that a
// tree that was built costs nothing.
type freebsdTree struct {
	cfg Config
	src *freebsd.Builder
}

func newFreeBSDTree(cfg Config) *freebsdTree {
	return &freebsdTree{cfg, freebsd.New(freebsd.Config{Cache: filepath.Join(cfg.Cache, "objects"), CCache: filepath.Join(cfg.Cache, "ccache")})}
}

// Inputs says what Build would read. See runners.Builder.
func (m *freebsdTree) Inputs(ctx context.Context, r runners.Recipe) ([]string, string, error) {
	paths, salt, err := m.src.Inputs(ctx, r)
	if err != nil {
		return nil, "", err
	}
	agent, err := m.cfg.Agent(r.OS, r.Arch)
	if err != nil {
		return nil, "", &runners.InfraError{Op: "guest agent", Err: err}
	}
	return paths, m.salted(salt, r, agent), nil
}

// salted covers the structures whose layouts are kept, too.
func (m *freebsdTree) salted(salt string, r runners.Recipe, agent []byte) string {
	return salted(fmt.Sprintf("%s\n%q", salt, m.cfg.Structs), r, agent)
}

// salted is a digest of what an image takes from elsewhere than the compiled
// files: the layout, the loader's settings, the agent.
func salted(salt string, r runners.Recipe, agent []byte) string {
	sum := sha256.New()
	fmt.Fprintf(sum, "freebsd image, version %d, disk %d\n%s\n%q\n%x\n", freebsdVersion, disk.Version, salt, r.Cmdline, sha256.Sum256(agent))
	return "sha256:" + hex.EncodeToString(sum.Sum(nil))
}

// Build makes an image. See runners.Builder.
func (m *freebsdTree) Build(ctx context.Context, r runners.Recipe, t runners.Tree, log io.Writer) (runners.Image, error) {
	agent, err := m.cfg.Agent(r.OS, r.Arch)
	if err != nil {
		return runners.Image{}, &runners.InfraError{Op: "guest agent", Err: err}
	}
	out, done, err := room(m.cfg.Cache)
	if err != nil {
		return runners.Image{}, &runners.InfraError{Op: "cache of builds", Err: err}
	}
	defer done()
	var had runners.Image
	p, err := m.src.Build(ctx, r, t.Dir, freebsd.Options{Out: out, Clean: t.Clean, Have: func(inputs string) (known bool) {
		had, known = m.recall(m.salted(inputs, r, agent))
		return known
	}}, log)
	if err != nil {
		return runners.Image{}, err
	}
	if p.Had {
		return had, nil
	}
	img, err := m.image(ctx, r, p, agent, out, log)
	if err != nil {
		return runners.Image{}, err
	}
	img.Incremental = p.Incremental
	key := m.salted(p.Inputs, r, agent)
	if err := m.compare(key, img, p, log); err != nil {
		return runners.Image{}, err
	}
	return img, m.remember(key, img)
}

// compare holds a clean build's image against an incremental one's. Objects that
// made another are not built upon again.
func (m *freebsdTree) compare(key string, img runners.Image, p freebsd.Product, log io.Writer) error {
	was, known := m.recall(key)
	if img.Incremental || !known || !was.Incremental || was.ID == img.ID {
		return nil
	}
	gone, err := m.src.Distrust(p)
	if err != nil {
		return &runners.InfraError{Op: "drop objects that were wrong", Err: err}
	}
	fmt.Fprintf(log, "warning: an incremental build of the same tree made %s, this one %s; its objects are not used again (removed: %t)\n", was.ID, img.ID, gone)
	return nil
}

// image lays out a disk of what was compiled and stores it.
func (m *freebsdTree) image(ctx context.Context, r runners.Recipe, p freebsd.Product, agent []byte, out string, log io.Writer) (runners.Image, error) {
	settings, err := settings(r)
	if err != nil {
		return runners.Image{}, err
	}
	g := disk.Guest{
		Arch: r.Arch, Kernel: p.Kernel, Modules: p.Modules, Loader: p.Loader, Scripts: p.Scripts,
		Agent: agent, Settings: settings, World: p.Metalog,
	}
	d, err := g.Disk()
	if err != nil {
		return runners.Image{}, &runners.InfraError{Op: "lay out FreeBSD", Err: err}
	}
	path := filepath.Join(out, "disk.img")
	if err := disk.Write(ctx, path, d, log); err != nil {
		return runners.Image{}, asInfra(ctx, "lay out FreeBSD", err)
	}
	parts := []images.Artifact{images.FileArtifact(images.RoleDisk, path)}
	layouts, err := m.layouts(p.Debug)
	if err != nil {
		return runners.Image{}, asInfra(ctx, "layouts of the kernel's structures", err)
	}
	if layouts != nil {
		parts = append(parts, images.BytesArtifact(images.RoleLayouts, layouts))
	}
	img, err := m.cfg.Store.Put(ctx, images.Manifest{OS: r.OS, Arch: r.Arch, Release: p.Release}, parts...)
	if err != nil {
		return runners.Image{}, err
	}
	fmt.Fprintf(log, "image: %s, %d bytes\n", img.ID, img.Size)
	if p.Debug == "" {
		return img, nil
	}
	return img, m.cfg.Store.Attach(ctx, img.ID, kernelDebug, p.Debug)
}

// layouts are those of the kernel's structures that suites read, as a document; nil
// when the kernel has no debugging information.
func (m *freebsdTree) layouts(debug string) ([]byte, error) {
	if debug == "" || len(m.cfg.Structs) == 0 {
		return nil, nil
	}
	found, err := layout.Read(debug, m.cfg.Structs)
	if errors.Is(err, layout.ErrNoDebugInfo) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return json.Marshal(found)
}

// settings are the target's lines of loader.conf.
func settings(r runners.Recipe) ([]disk.Setting, error) {
	var out []disk.Setting
	for _, line := range r.Cmdline {
		s, err := disk.ParseSetting(line)
		if err != nil {
			return nil, &runners.InfraError{Op: "loader settings of the target", Err: err, Hint: "correct the target in pipelines.yaml"}
		}
		out = append(out, s)
	}
	return out, nil
}

// made is what is remembered of a build.
type made struct {
	Image       runners.Image
	Incremental bool
}

func (m *freebsdTree) madePath(key string) string {
	return filepath.Join(m.cfg.Cache, "made", key[len("sha256:"):]+".json")
}

// recall finds the image that inputs made, if it is still there.
func (m *freebsdTree) recall(key string) (runners.Image, bool) {
	text, err := os.ReadFile(m.madePath(key))
	if err != nil {
		return runners.Image{}, false
	}
	var was made
	if json.Unmarshal(text, &was) != nil {
		return runners.Image{}, false
	}
	if there, err := m.cfg.Store.Has(was.Image.ID); err != nil || !there {
		return runners.Image{}, false
	}
	was.Image.Incremental, was.Image.Cached = was.Incremental, true
	return was.Image, true
}

// remember notes what inputs made. A clean build's image takes the place of an
// incremental one's.
func (m *freebsdTree) remember(key string, img runners.Image) error {
	text, err := json.Marshal(made{img, img.Incremental})
	if err == nil {
		path := m.madePath(key)
		if err = os.MkdirAll(filepath.Dir(path), 0o755); err == nil {
			err = renameio.WriteFile(path, text, 0o644)
		}
	}
	if err != nil {
		return &runners.InfraError{Op: "remember what was built", Err: err}
	}
	return nil
}

// asInfra classes what is no cancellation as the rig's fault.
func asInfra(ctx context.Context, op string, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if known, ok := errors.AsType[*runners.InfraError](err); ok {
		return known
	}
	return &runners.InfraError{Op: op, Err: err}
}
