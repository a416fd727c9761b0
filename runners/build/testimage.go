package build

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/headwatch/headwatch/runners"
	"github.com/headwatch/headwatch/runners/build/artifacts"
	"github.com/headwatch/headwatch/runners/build/disk"
	"github.com/headwatch/headwatch/runners/build/images"
)

const (
	maxTestImage = 32 << 30 // bytes, unpacked
	// metaSize is room for the agent twice: the guest writes back what it was told.
	metaSize = 128 << 20
)

// testImage makes an image of the CI's own test image, byte for byte as it was
// published. What it needs to boot here and to run the agent lies on two disks
// beside it: a loader that speaks on the first UART, and the disk by which the CI
// itself tells the image what to do.
func (m *published) testImage(ctx context.Context, r runners.Recipe, f *artifacts.Fetcher, place artifacts.Place, agent []byte, out string, log io.Writer) (runners.Image, error) {
	packed, err := f.Fetch(ctx, place, artifacts.TestImage)
	if err != nil {
		return runners.Image{}, err
	}
	defer packed.Close()
	system := filepath.Join(out, "disk.img")
	size, err := artifacts.Expand(ctx, packed.Path, system, maxTestImage)
	if err != nil {
		return runners.Image{}, err
	}
	fmt.Fprintf(log, ">>> %s: %d MB unpacked\n", artifacts.TestImage, size/1e6)
	starter, err := startOf(r, system, out)
	if err != nil {
		return runners.Image{}, asInfra(ctx, "loader for the test image", err)
	}
	meta, err := metaOf(ctx, agent, out)
	if err != nil {
		return runners.Image{}, asInfra(ctx, "disk that tells the test image what to do", err)
	}
	return m.cfg.Store.Put(ctx, images.Manifest{OS: r.OS, Arch: r.Arch}, images.FileArtifact(images.RoleDisk, system),
		images.FileArtifact(images.RoleMeta, meta), images.FileArtifact(images.RoleStarter, starter))
}

// startOf writes the disk with the loader of base.txz, which unpack left below out.
func startOf(r runners.Recipe, system, out string) (string, error) {
	root, err := disk.FindRoot(system)
	if err != nil {
		return "", err
	}
	own, err := settings(r)
	if err != nil {
		return "", err
	}
	name := filepath.Join(out, "starter.img")
	s := disk.Starter{Arch: r.Arch, Loader: filepath.Join(out, "root", "boot", "loader.efi"), Root: root, Settings: own}
	return name, s.Write(name)
}

// metaOf writes the disk that starts the agent. Its marker is drawn from the agent:
// results come by the agent, not by this disk, and equal inputs make equal images.
func metaOf(ctx context.Context, agent []byte, out string) (string, error) {
	program, name := filepath.Join(out, "agent"), filepath.Join(out, "meta.img")
	if err := os.WriteFile(program, agent, 0o755); err != nil {
		return "", err
	}
	sum := sha256.Sum256(agent)
	_, err := artifacts.Meta{Size: metaSize, Agent: program, Marker: artifacts.Marker(hex.EncodeToString(sum[:16]))}.Write(ctx, name)
	return name, err
}
