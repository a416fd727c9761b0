package disk

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
)

// specification is the mtree(5) text by which makefs gives the entries their
// owners, modes and times, whatever the staged files have. Debian's makefs knows
// no contents=, so the files must be staged.
func specification(entries []entry) []byte {
	var b strings.Builder
	b.WriteString("#mtree\n")
	for _, e := range entries {
		name := "."
		if e.Path != "/" {
			name += encodeName(e.Path)
		}
		fmt.Fprintf(&b, "%s type=%s uid=%d gid=%d mode=%04o time=%d.000000000", name, kindOf(e.Mode), e.UID, e.GID, permissions(e.Mode), epoch)
		if e.Link != "" {
			b.WriteString(" link=" + encodeName(e.Link))
		}
		b.WriteByte('\n')
	}
	return []byte(b.String())
}

func kindOf(m fs.FileMode) string {
	switch m.Type() {
	case fs.ModeDir:
		return "dir"
	case fs.ModeSymlink:
		return "link"
	}
	return "file"
}

// permissions are the bits of chmod(2).
func permissions(m fs.FileMode) uint32 {
	p := uint32(m.Perm())
	for bit, mode := range map[uint32]fs.FileMode{0o4000: fs.ModeSetuid, 0o2000: fs.ModeSetgid, 0o1000: fs.ModeSticky} {
		if m&mode != 0 {
			p |= bit
		}
	}
	return p
}

// fileMode is the reverse of permissions.
func fileMode(p uint32) fs.FileMode {
	m := fs.FileMode(p & 0o777)
	for bit, mode := range map[uint32]fs.FileMode{0o4000: fs.ModeSetuid, 0o2000: fs.ModeSetgid, 0o1000: fs.ModeSticky} {
		if p&bit != 0 {
			m |= mode
		}
	}
	return m
}

// plain are the bytes that mean themselves in a specification.
const plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._-+,:@%~"

// encodeName writes other bytes as \ooo, as vis(3) with VIS_OCTAL.
func encodeName(s string) string {
	var b strings.Builder
	for i := range len(s) {
		if strings.IndexByte(plain, s[i]) >= 0 {
			b.WriteByte(s[i])
		} else {
			fmt.Fprintf(&b, `\%03o`, s[i])
		}
	}
	return b.String()
}

var errEscape = errors.New(`want \ and three octal digits`)

// decodeName is the reverse of encodeName.
func decodeName(s string) (string, error) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' {
			b.WriteByte(s[i])
			continue
		}
		if i+4 > len(s) {
			return "", errEscape
		}
		var c int
		for _, d := range []byte(s[i+1 : i+4]) {
			if d < '0' || d > '7' {
				return "", errEscape
			}
			c = c<<3 | int(d-'0')
		}
		if c > 255 {
			return "", errEscape
		}
		b.WriteByte(byte(c))
		i += 3
	}
	return b.String(), nil
}

// Limits of FreeBSD (sys/syslimits.h), and what UFS cannot hold.
const (
	maxPath = 1023
	maxName = 255
)

// checkName refuses paths and link targets that a UFS cannot hold.
func checkName(p string) error {
	if len(p) > maxPath {
		return fmt.Errorf("%d bytes: at most %d", len(p), maxPath)
	}
	if strings.ContainsRune(p, 0) {
		return errors.New("holds a zero byte")
	}
	for part := range strings.SplitSeq(p, "/") {
		if len(part) > maxName {
			return fmt.Errorf("a name of %d bytes: at most %d", len(part), maxName)
		}
	}
	return nil
}
