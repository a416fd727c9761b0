package build

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"github.com/headwatch/headwatch/runners"
	"github.com/headwatch/headwatch/runners/build/artifacts"
	"github.com/headwatch/headwatch/runners/build/disk"
	"github.com/headwatch/headwatch/runners/build/images"
)

// publishedVersion changes whenever the same artifacts would make another image.
const publishedVersion = 1

// maxArtifacts bounds the cache of downloads, in bytes: some dozens of commits
// with their userland.
const maxArtifacts = 20 << 30

// channelModules are what the agent's channel needs of a kernel that was built
// for other machines: GENERIC has no virtio_console.
var channelModules = []string{"virtio_console"}

// published makes images of FreeBSD from what its CI has published of a commit.
type published struct{ cfg Config }

// Inputs says that nothing of the tree is read: what was published for a commit
// is the commit's alone. See runners.Builder.
func (m *published) Inputs(_ context.Context, r runners.Recipe) ([]string, string, error) {
	agent, err := m.cfg.Agent(r.OS, r.Arch)
	if err != nil {
		return nil, "", &runners.InfraError{Op: "guest agent", Err: err}
	}
	own := sha256.Sum256(fmt.Appendf(nil, "published, version %d\n%+v\n", publishedVersion, r))
	return nil, salted(hex.EncodeToString(own[:]), r, agent), nil
}

// Build downloads what the image needs and lays it out. See runners.Builder.
func (m *published) Build(ctx context.Context, r runners.Recipe, t runners.Tree, log io.Writer) (runners.Image, error) {
	if t.Commit == "" {
		return runners.Image{}, &runners.InfraError{Op: "build from artifacts", Err: fmt.Errorf("no commit is given"),
			Hint: "artifacts are published for commits: give --commit, or a target with source: tree"}
	}
	agent, err := m.cfg.Agent(r.OS, r.Arch)
	if err != nil {
		return runners.Image{}, &runners.InfraError{Op: "guest agent", Err: err}
	}
	out, done, err := room(m.cfg.Cache)
	if err != nil {
		return runners.Image{}, &runners.InfraError{Op: "cache of builds", Err: err}
	}
	defer done()
	img, err := m.make(ctx, r, t, agent, out, log)
	if artifacts.Untestable(err) {
		return runners.Image{}, &runners.UnavailableError{Reason: err.Error()}
	}
	return img, err
}

// make does it in the folder out.
func (m *published) make(ctx context.Context, r runners.Recipe, t runners.Tree, agent []byte, out string, log io.Writer) (runners.Image, error) {
	f, err := m.fetcher(log)
	if err != nil {
		return runners.Image{}, err
	}
	defer f.Close()
	place := artifacts.Place{Base: r.Base, Branch: t.Branch, Commit: t.Commit, Arch: r.Arch}
	tree := filepath.Join(out, "root")
	metalog, err := unpack(ctx, f, place, setsOf(r), tree, log)
	if err != nil {
		return runners.Image{}, err
	}
	switch {
	case r.TestImage:
		return m.testImage(ctx, r, f, place, agent, out, log)
	case !r.World:
		metalog = ""
	}
	return m.image(ctx, r, tree, metalog, agent, out, log)
}

func (m *published) fetcher(log io.Writer) (*artifacts.Fetcher, error) {
	cache, err := artifacts.OpenCache(filepath.Join(m.cfg.Cache, "artifacts"), maxArtifacts)
	if err != nil {
		return nil, err
	}
	shown := &downloads{log: log}
	return artifacts.NewFetcher(cache, artifacts.Options{Progress: shown.show}), nil
}

// set is one archive, and what is taken of it; nothing: all.
type set struct {
	name string
	only []string
}

// setsOf are what a recipe needs: a kernel and what boots it, or a whole system
// with its tests; for the test image, which has all that, a loader.
func setsOf(r runners.Recipe) []set {
	switch {
	case r.TestImage:
		return []set{{artifacts.Base, artifacts.LoaderFiles}}
	case r.World:
		return []set{{artifacts.Kernel, nil}, {artifacts.Base, nil}, {artifacts.Tests, nil}}
	}
	return []set{{artifacts.Kernel, artifacts.KernelFiles}, {artifacts.Base, artifacts.LoaderFiles}}
}

// unpack fetches sets into a folder, and returns the METALOG that says what their
// files are.
func unpack(ctx context.Context, f *artifacts.Fetcher, place artifacts.Place, sets []set, dir string, log io.Writer) (metalog string, err error) {
	tree, err := artifacts.NewTree(dir, artifacts.Limits{})
	if err != nil {
		return "", err
	}
	defer tree.Close()
	for _, s := range sets {
		if err := addSet(ctx, f, tree, place, s.name, s.only, log); err != nil {
			return "", err
		}
	}
	return tree.Finish()
}

func addSet(ctx context.Context, f *artifacts.Fetcher, tree *artifacts.Tree, p artifacts.Place, name string, only []string, log io.Writer) error {
	file, err := f.Fetch(ctx, p, name)
	if err != nil {
		return err
	}
	defer file.Close()
	n, err := tree.Add(ctx, file.Path, only...)
	if err == nil {
		fmt.Fprintf(log, ">>> %s: %d files\n", name, n)
	}
	return err
}

// image lays out a disk: the published kernel, the userland that a METALOG names,
// if any, and the agent as first process.
func (m *published) image(ctx context.Context, r runners.Recipe, tree, metalog string, agent []byte, out string, log io.Writer) (runners.Image, error) {
	settings, err := settings(r)
	if err != nil {
		return runners.Image{}, err
	}
	boot := func(name ...string) string { return filepath.Join(append([]string{tree, "boot"}, name...)...) }
	g := disk.Guest{
		Arch: r.Arch, Kernel: boot("kernel", "kernel"), Loader: boot("loader.efi"), Scripts: boot(),
		Agent: agent, Settings: settings, World: metalog,
	}
	for _, name := range slices.Concat(channelModules, r.Modules) {
		path := boot("kernel", name+".ko")
		_, err := os.Stat(path)
		switch {
		case err == nil:
			g.Modules = append(g.Modules, path)
		case slices.Contains(r.Modules, name):
			return runners.Image{}, &runners.InfraError{Op: "modules of the target", Err: fmt.Errorf("kernel.txz has no module %s", name),
				Hint: "correct the target in pipelines.yaml"}
		default: // in the kernel itself, or the agent is reached by the second UART only
			fmt.Fprintf(log, "warning: kernel.txz has no module %s\n", name)
		}
	}
	d, err := g.Disk()
	if err != nil {
		return runners.Image{}, &runners.InfraError{Op: "lay out FreeBSD", Err: err}
	}
	path := filepath.Join(out, "disk.img")
	if err := disk.Write(ctx, path, d, log); err != nil {
		return runners.Image{}, asInfra(ctx, "lay out FreeBSD", err)
	}
	return m.cfg.Store.Put(ctx, images.Manifest{OS: r.OS, Arch: r.Arch}, images.FileArtifact(images.RoleDisk, path))
}

// downloads writes a line to the log for each tenth of a download.
type downloads struct {
	log  io.Writer
	url  string
	last int64
}

func (d *downloads) show(p artifacts.Progress) {
	if p.URL != d.url {
		d.url, d.last = p.URL, -1
	}
	if p.Total <= 0 {
		return
	}
	if tenth := 10 * p.Done / p.Total; tenth > d.last {
		d.last = tenth
		fmt.Fprintf(d.log, ">>> %s: %d %% of %d MB\n", p.URL, 10*tenth, p.Total/1e6)
	}
}
