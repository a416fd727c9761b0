package guest

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

const sysctlRoot = "/proc/sys/"

// One answer holds so much of a list at most.
const (
	listNodes = 1000
	listBytes = 256 << 10
)

// sysctlPath is the file of a sysctl, by sysctl(8)'s rule: the first separator
// of a name says what separates; with slashes, dots are part of the names.
func sysctlPath(name string) string {
	if i := strings.IndexAny(name, "./"); i >= 0 && name[i] == '.' {
		name = swap(name)
	}
	return filepath.Join(sysctlRoot, filepath.Clean("/"+name))
}

func swap(name string) string { return strings.NewReplacer(".", "/", "/", ".").Replace(name) }

func readSysctl(ctx context.Context, name string) (raw, error) {
	return readFile(ctx, sysctlPath(name))
}

// readPCBs gives the connections as text, those of IPv4 first.
func readPCBs(ctx context.Context) (raw, error) {
	all, err := readFile(ctx, "/proc/net/tcp")
	if err != nil {
		return raw{}, err
	}
	six, err := readFile(ctx, "/proc/net/tcp6") // absent in a kernel without IPv6
	return raw{data: append(all.data, six.data...), absent: all.absent && six.absent}, err
}

func setSysctl(_ context.Context, args SysctlSetArgs) (done, error) {
	data := args.Raw
	if data == nil {
		data = []byte(args.Text)
	}
	if len(data) > MaxWrite {
		return done{}, fmt.Errorf("%s: value is %d bytes, at most %d", args.Name, len(data), MaxWrite)
	}
	err := os.WriteFile(sysctlPath(args.Name), data, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return done{}, fmt.Errorf("this kernel has no sysctl %q", args.Name)
	}
	if err != nil {
		return done{}, notOurs(bare(err)) // one that is not for writing is the case's mistake
	}
	return done{}, nil
}

// errFull ends a walk whose answer is full.
var errFull = errors.New("answer is full")

func sysctls(ctx context.Context, args SysctlsArgs) (Sysctls, error) {
	list := Sysctls{Nodes: []Sysctl{}}
	if len(args.Names) > listNodes/10 {
		return list, fmt.Errorf("%d names at once, at most %d", len(args.Names), listNodes/10)
	}
	for _, name := range args.Names {
		if node, ok := describe(sysctlPath(name), name); ok {
			list.Nodes = append(list.Nodes, node)
		}
	}
	if len(args.Names) > 0 {
		return list, nil
	}
	size := 0
	// Walking goes in the order of names within a folder, which is not the order of
	// whole names; so the walk finds its old place by meeting it.
	reached := args.After == ""
	err := filepath.WalkDir(sysctlPath(args.Prefix), func(path string, d fs.DirEntry, err error) error {
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case err != nil || d.IsDir():
			return nil // went away, or is not for us to read
		}
		name := swap(strings.TrimPrefix(path, sysctlRoot))
		if !reached {
			reached = name == args.After
			return nil
		}
		if !strings.HasSuffix(name, args.Suffix) {
			return nil
		}
		node, ok := describe(path, name)
		if !ok {
			return nil
		}
		list.Nodes = append(list.Nodes, node)
		if size += len(name) + len(node.Value); size >= listBytes || len(list.Nodes) >= listNodes {
			list.After = name
			return errFull
		}
		return nil
	})
	if errors.Is(err, errFull) {
		err = nil
	}
	return list, err
}

// describe reads one value; false when there is none. That the kernel refuses it
// is part of the answer: some sysctls can only be written.
func describe(path, name string) (Sysctl, bool) {
	node := Sysctl{Name: name, Kind: "string"}
	data, err := os.ReadFile(path)
	var errno unix.Errno
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return node, false
	case errors.As(err, &errno):
		node.Refused = unix.ErrnoName(errno)
	case err != nil:
		return node, false
	}
	node.Value, node.Size = data[:min(len(data), MaxSysctlValue)], len(data)
	return node, true
}
