// Package kernel takes what a guest's kernel says of itself apart, for every
// suite: what it has allocated, what its TCP has counted, which connections it
// knows. The agent's part in guest/ fetches the bytes; everything that depends on
// the version of a kernel is here, by the layouts that the image's builder read
// from its debug information.
//
// Bytes and texts come from a guest, which is not trusted: every decoder takes
// any input, answers with an error or a result, and allocates no more than a
// small multiple of what it was given.
//
// Snapshot is what most cases need: one before, one after, and the difference.
package kernel

import (
	"bytes"
	"compress/flate"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/headwatch/headwatch/suites"
	"github.com/headwatch/headwatch/suites/kernel/guest"
)

// ErrAbsent says that the kernel does not offer something: a sysctl of another
// version, a file of a part that was not compiled in. It is no fault of anybody's.
var ErrAbsent = errors.New("this kernel does not offer it")

// Sysctl reads a value as the kernel gives it. The error wraps ErrAbsent when
// there is none of that name.
func Sysctl(ctx context.Context, g suites.Guest, name string) ([]byte, error) {
	return read(ctx, g, guest.OpSysctl, name)
}

// File reads a file below /proc or /sys.
func File(ctx context.Context, g suites.Guest, path string) ([]byte, error) {
	return read(ctx, g, guest.OpFile, path)
}

// SetSysctl writes a value given as text.
func SetSysctl(ctx context.Context, g suites.Guest, name, text string) error {
	return g.Call(ctx, guest.OpSysctlSet, guest.SysctlSetArgs{Name: name, Text: text}, nil)
}

// maxParts bounds a list of sysctls; a large FreeBSD has about 20,000 of them, and
// a part holds up to a thousand.
const maxParts = 200

// Sysctls lists what is below prefix with a name that ends in suffix. Values
// longer than guest.MaxSysctlValue are cut.
func Sysctls(ctx context.Context, g suites.Guest, prefix, suffix string) ([]guest.Sysctl, error) {
	var all []guest.Sysctl
	args := guest.SysctlsArgs{Prefix: prefix, Suffix: suffix}
	for range maxParts {
		var list guest.Sysctls
		if err := g.Call(ctx, guest.OpSysctls, args, &list); err != nil {
			return nil, err
		}
		all = append(all, list.Nodes...)
		if list.After == "" {
			return all, nil
		}
		args.After = list.After
	}
	return nil, fmt.Errorf("list of sysctls below %q does not end: %d in %d parts", prefix, len(all), maxParts)
}

// read fetches a reading's pieces and inflates them.
func read(ctx context.Context, g suites.Guest, op, name string) ([]byte, error) {
	var r guest.Reading
	if err := g.Call(ctx, op, guest.NameArgs{Name: name}, &r); err != nil {
		return nil, err
	}
	if name == "" {
		name = op
	}
	if r.Absent {
		return nil, fmt.Errorf("%s: %w", name, ErrAbsent)
	}
	size, packed := r.Size, r.Data
	if size < 0 || size > guest.MaxReading {
		return nil, fmt.Errorf("%s: the agent claims %d bytes, at most %d", name, size, guest.MaxReading)
	}
	for r.Rest != 0 {
		rest := guest.RestArgs{Rest: r.Rest}
		r = guest.Reading{}
		if err := g.Call(ctx, guest.OpRest, rest, &r); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		// Deflate makes hardly more of what it cannot compress.
		if packed = append(packed, r.Data...); len(r.Data) == 0 || len(packed) > size+size/64+1024 {
			return nil, fmt.Errorf("%s: %d packed bytes of a reading of %d, and no end", name, len(packed), size)
		}
	}
	data, err := inflate(packed, size)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return data, nil
}

// inflate unpacks exactly size bytes.
func inflate(packed []byte, size int) ([]byte, error) {
	r := flate.NewReader(bytes.NewReader(packed))
	defer r.Close()
	var b bytes.Buffer // grows with what arrives, not with what was claimed
	n, err := b.ReadFrom(io.LimitReader(r, int64(size)+1))
	if err != nil {
		return nil, fmt.Errorf("reading is damaged: %w", err)
	}
	if n != int64(size) {
		return nil, fmt.Errorf("reading is not of the %d bytes that the agent claims", size)
	}
	return b.Bytes(), nil
}
