// Package disk turns files into a bootable FreeBSD disk: a GPT with an EFI system
// partition, which holds the boot loader, and a UFS root.
//
// Partitions and FAT are written here; UFS is makefs(8)'s, Debian's port or
// FreeBSD's own. Nothing needs privileges: owners, modes and times come from an
// mtree(5) specification, not from the files. Equal inputs make equal bytes, in
// whatever folder and at whatever time: times are fixed, identifiers are drawn
// from the content. One thing is not in our hands: makefs takes the entries of a
// folder in the order that the file system below it lists them, which two ext4
// file systems can do differently. Disks made on two hosts may thus differ in
// inode numbers and in where a file lies, and in nothing else.
package disk

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"

	"github.com/google/renameio/v2"
)

// Disk says what to write. It is plain data.
type Disk struct {
	Arch   string // "amd64" or "arm64"
	Loader string // host path of loader.efi
	Files  []File
	// Metalog is the host path of the METALOG that an installworld with -DNO_ROOT
	// left in its root folder. Empty: Files are all there is. A path that both name
	// is taken from Files.
	Metalog string
	// Free is how many bytes to leave free in the root file system, at least. Debian's
	// makefs writes them all, at a second or so for each GiB; the disk has holes there.
	Free int64
}

// File is one entry of the root file system. Folders above it that nobody names
// are made, with mode 0755.
type File struct {
	Path string // in the guest, absolute and clean
	// Mode says what it is: a folder, a symbolic link or a regular file.
	Mode   fs.FileMode
	Source string // host path of a regular file's content; empty: Data
	Data   []byte
	Link   string // target of a symbolic link
	UID    int
	GID    int
}

// Version changes whenever the same files would make another disk.
const Version = 2

// epoch is the time of everything on the disk, in seconds: 1 January 2020, which
// FAT can express too.
const epoch = 1577836800

// removable is where firmware looks for a loader on a disk that it has not seen
// before (UEFI specification 2.10, 3.5.1.1).
var removable = map[string]string{"amd64": "BOOTX64.EFI", "arm64": "BOOTAA64.EFI"}

// Write makes the disk at name, or leaves nothing there. It works in a hidden
// folder beside it, so that files need not be copied, and removes that folder.
// What makefs says goes to log. Every error is the rig's.
func Write(ctx context.Context, name string, d Disk, log io.Writer) error {
	if err := d.check(); err != nil {
		return fmt.Errorf("disk: %w", err)
	}
	if err := write(ctx, name, d, log); err != nil {
		if cause := context.Cause(ctx); cause != nil {
			err = cause // whatever it made of the tools
		}
		return fmt.Errorf("write disk %s: %w", name, err)
	}
	return nil
}

func write(ctx context.Context, name string, d Disk, log io.Writer) (err error) {
	tool, err := findMakefs(makefsPlaces...)
	if err != nil {
		return err
	}
	loader, err := os.ReadFile(d.Loader)
	if err != nil {
		return fmt.Errorf("loader: %w", err)
	}
	esp, err := newFAT(fatFile{"BOOT", removable[d.Arch], loader})
	if err != nil {
		return fmt.Errorf("loader %s: %w", d.Loader, err)
	}
	beside, err := filepath.Abs(filepath.Dir(name)) // makefs runs in the folder
	if err != nil {
		return err
	}
	work, err := os.MkdirTemp(beside, ".disk-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(work)) }()
	root, err := stage(ctx, filepath.Join(work, "root"), d)
	if err != nil {
		return err
	}
	ufs := filepath.Join(work, "ufs")
	if err := tool.run(ctx, ufs, work, root, d.Free, log); err != nil {
		return err
	}
	return assemble(ctx, name, esp, ufs)
}

// assemble joins the parts. The partition tables come last, because their
// identifiers are a digest of what they describe.
func assemble(ctx context.Context, name string, esp *fat, ufs string) (err error) {
	f, err := renameio.NewPendingFile(name, renameio.WithTempDir(filepath.Dir(name)), renameio.WithPermissions(0o644))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Cleanup()) }()
	in, err := os.Open(ufs)
	if err != nil {
		return err
	}
	defer in.Close()
	st, err := in.Stat()
	if err != nil {
		return err
	}
	t := newTable(esp.size(), st.Size())
	out := sparse{w: f, sum: sha256.New()}
	if err := out.write(esp.bytes(), t.parts[0].first*sectorSize); err != nil {
		return err
	}
	if err := out.copy(ctx, in, t.parts[1].first*sectorSize); err != nil {
		return err
	}
	t.identify(out.sum.Sum(nil))
	head, tail := t.bytes()
	if _, err := f.WriteAt(head, 0); err != nil {
		return err
	}
	if _, err := f.WriteAt(tail, t.sectors*sectorSize-int64(len(tail))); err != nil {
		return err
	}
	return f.CloseAtomicallyReplace()
}

// check refuses what cannot be said in a disk.
func (d Disk) check() error {
	switch {
	case removable[d.Arch] == "":
		return fmt.Errorf("architecture %q: want amd64 or arm64", d.Arch)
	case d.Loader == "":
		return errors.New("no loader.efi is named")
	case d.Free < 0 || d.Free > maxRoot:
		return fmt.Errorf("%d bytes to leave free: want 0 to %d", d.Free, int64(maxRoot))
	}
	seen := make(map[string]bool)
	for _, f := range d.Files {
		if err := f.check(); err != nil {
			return err
		}
		if seen[f.Path] {
			return fmt.Errorf("%s: named twice", f.Path)
		}
		seen[f.Path] = true
	}
	return nil
}

func (f File) check() error {
	if !path.IsAbs(f.Path) || path.Clean(f.Path) != f.Path || f.Path == "/" && !f.Mode.IsDir() {
		return fmt.Errorf("file %q: want an absolute, clean path in the guest", f.Path)
	}
	if err := checkName(f.Path); err != nil {
		return fmt.Errorf("file %.100q: %w", f.Path, err)
	}
	if f.UID < 0 || f.GID < 0 {
		return fmt.Errorf("%s: owner %d:%d: want numbers from 0", f.Path, f.UID, f.GID)
	}
	content := f.Source != "" || len(f.Data) > 0
	switch f.Mode.Type() {
	case 0:
		if f.Link != "" {
			return fmt.Errorf("%s: a link's target for a regular file", f.Path)
		}
		if f.Source != "" && len(f.Data) > 0 {
			return fmt.Errorf("%s: both a source and data", f.Path)
		}
	case fs.ModeDir:
		if content || f.Link != "" {
			return fmt.Errorf("%s: content for a folder", f.Path)
		}
	case fs.ModeSymlink:
		if content || f.Link == "" {
			return fmt.Errorf("%s: want a symbolic link's target and nothing else", f.Path)
		}
		if err := checkName(f.Link); err != nil {
			return fmt.Errorf("%s: target %.100q: %w", f.Path, f.Link, err)
		}
	default:
		return fmt.Errorf("%s: mode %v: want a regular file, a folder or a symbolic link", f.Path, f.Mode)
	}
	return nil
}
