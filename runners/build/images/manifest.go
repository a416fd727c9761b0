package images

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/headwatch/headwatch/runners"
)

// Role says what a blob is to its image. The zero value is invalid.
type Role string

// Roles of blobs. An image has at most one of each; but its initrd blobs are the
// parts of one initial RAM file system, in order.
const (
	RoleKernel  Role = "kernel"
	RoleInitrd  Role = "initrd"
	RoleDisk    Role = "disk"
	RoleMeta    Role = "meta"    // a second disk, by which the first is told what to do
	RoleStarter Role = "starter" // a disk with a boot loader for the first
	RoleLayouts Role = "layouts" // JSON: of the kernel's structures; see runners/build/layout
)

// Blob is one artifact of an image.
type Blob struct {
	Role   Role   `json:"role"`
	Digest string `json:"digest"` // "sha256:" + hex, of the uncompressed content
	Size   int64  `json:"size"`   // bytes, uncompressed
}

// Manifest says what an image is made of. Its JSON form is canonical: fields in
// this order, no white space; the image's ID is the digest of those bytes. How
// blobs are compressed is no part of it.
type Manifest struct {
	Format  int    `json:"format"` // 1
	OS      string `json:"os"`
	Arch    string `json:"arch"`
	Release string `json:"release"` // of the kernel, as uname prints it
	Cmdline string `json:"cmdline"`
	Blobs   []Blob `json:"blobs"`
}

const (
	manifestFormat = 1
	maxManifest    = 1 << 20 // bytes
	maxBlobs       = 64
)

// encode returns the canonical bytes and the image they describe.
func (m Manifest) encode() ([]byte, runners.Image, error) {
	if err := m.validate(); err != nil {
		return nil, runners.Image{}, err
	}
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(m); err != nil {
		return nil, runners.Image{}, err
	}
	text := bytes.TrimSuffix(buf.Bytes(), []byte("\n"))
	if len(text) > maxManifest {
		return nil, runners.Image{}, fmt.Errorf("manifest of %d bytes: at most %d", len(text), maxManifest)
	}
	sum := sha256.Sum256(text)
	return text, m.image(digestString(sum[:])), nil
}

// parseManifest reads a manifest whose digest was verified.
func parseManifest(text []byte) (Manifest, error) {
	var m Manifest
	if err := json.Unmarshal(text, &m); err != nil {
		return Manifest{}, err
	}
	return m, m.validate()
}

func (m Manifest) validate() error {
	if m.Format != manifestFormat {
		return fmt.Errorf("manifest format %d: this headwatch reads format %d", m.Format, manifestFormat)
	}
	if m.OS == "" || m.Arch == "" || len(m.Blobs) == 0 || len(m.Blobs) > maxBlobs {
		return fmt.Errorf("manifest for %q/%q with %d blobs: expected an OS, an arch and 1 to %d blobs", m.OS, m.Arch, len(m.Blobs), maxBlobs)
	}
	count := make(map[Role]int)
	for _, b := range m.Blobs {
		count[b.Role]++
		if b.Size < 0 {
			return errors.New("manifest with a blob of negative size")
		}
		if _, err := hexOf(b.Digest); err != nil {
			return err
		}
		switch b.Role {
		case RoleKernel, RoleDisk, RoleMeta, RoleStarter, RoleLayouts:
			if count[b.Role] > 1 {
				return fmt.Errorf("manifest with two blobs of role %s", b.Role)
			}
		case RoleInitrd:
		default:
			return fmt.Errorf("manifest with unknown role %q", b.Role)
		}
	}
	return nil
}

func (m Manifest) image(id string) runners.Image {
	img := runners.Image{ID: id, OS: m.OS, Arch: m.Arch}
	for _, b := range m.Blobs {
		img.Size += b.Size
	}
	return img
}

// has tells whether the image has a blob.
func (m Manifest) has(digest string) bool {
	for _, b := range m.Blobs {
		if b.Digest == digest {
			return true
		}
	}
	return false
}

func digestString(sum []byte) string { return "sha256:" + hex.EncodeToString(sum) }

// hexOf takes the hex part of a digest, which then is safe as a file name.
func hexOf(digest string) (string, error) {
	h, ok := strings.CutPrefix(digest, "sha256:")
	if ok && isHexDigest(h) {
		return h, nil
	}
	return "", fmt.Errorf("%q is no image or blob: expected sha256: and 64 hex digits", digest)
}

func isHexDigest(s string) bool {
	return len(s) == 2*sha256.Size && strings.Trim(s, "0123456789abcdef") == ""
}
