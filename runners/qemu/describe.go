package qemu

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"regexp"
	"strings"
	"sync"

	"github.com/headwatch/headwatch/runners"
)

// portrait is what Describe remembers, and of which files.
type portrait struct {
	mu       sync.Mutex
	binary   os.FileInfo
	version  string
	firmware os.FileInfo
	digest   string
}

// Describe says what boots the machines, such as
//
//	QEMU 7.2.22 (Debian 1:7.2+dfsg-7), firmware sha256:0123456789ab, tcg
//
// The version is the whole one with the distribution's: its patches change what a
// guest sees, too. QEMU is asked, and the firmware read, when the file is another
// than last time. A host without firmware boots kernels directly, which is no
// error; without QEMU the error is a *runners.InfraError.
func (r *Runner) Describe(ctx context.Context) (string, error) {
	version, firmware, err := r.examine(ctx, firmwares)
	if err != nil {
		return "", err
	}
	accel, _ := r.Probe(ctx)
	if err := ctx.Err(); err != nil {
		return "", fmt.Errorf("describe QEMU: %w", err)
	}
	return fmt.Sprintf("QEMU %s, %s, %s", version, firmware, accel), nil
}

// examine looks at QEMU and its firmware, the first of places that is there.
func (r *Runner) examine(ctx context.Context, places []Firmware) (version, firmware string, err error) {
	p := &r.portrait
	p.mu.Lock()
	defer p.mu.Unlock()
	binary, err := r.binary()
	if err != nil {
		return "", "", err
	}
	// Looked at before it is asked: one that is replaced meanwhile is asked again.
	now, err := os.Stat(binary)
	if err != nil {
		return "", "", &runners.InfraError{Op: "describe QEMU", Err: err}
	}
	if !sameFile(p.binary, now) {
		out, err := r.ask(ctx, "--version")
		if err != nil {
			return "", "", err
		}
		if p.version, err = parseFullVersion(out); err != nil {
			return "", "", &runners.InfraError{Op: "describe QEMU", Err: err}
		}
		p.binary = now
	}
	firmware, err = p.firmwareOf(binary, places)
	return p.version, firmware, err
}

func (p *portrait) firmwareOf(binary string, places []Firmware) (string, error) {
	f, err := findFirmware(binary, places)
	if errors.Is(err, fs.ErrNotExist) {
		return "no firmware", nil
	}
	if err != nil {
		return "", err
	}
	now, err := os.Stat(f.Path)
	if err == nil && !sameFile(p.firmware, now) {
		if p.digest, err = digestOf(f.Path); err == nil {
			p.firmware = now
		}
	}
	if err != nil {
		return "", &runners.InfraError{Op: "read UEFI firmware", Err: err}
	}
	return "firmware sha256:" + p.digest, nil
}

// sameFile says whether a file is the one that was looked at before, unchanged.
func sameFile(before, now os.FileInfo) bool {
	return before != nil && os.SameFile(before, now) && before.Size() == now.Size() && before.ModTime().Equal(now.ModTime())
}

// digestOf is the start of a file's SHA-256: 12 hex digits.
func digestOf(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)[:6]), nil
}

var fullVersion = regexp.MustCompile(`QEMU emulator version ([^\r\n]{1,200})`)

func parseFullVersion(out string) (string, error) {
	m := fullVersion.FindStringSubmatch(out)
	if m == nil {
		return "", fmt.Errorf("no version in what --version says: %.80q", out)
	}
	return strings.TrimSpace(m[1]), nil
}
