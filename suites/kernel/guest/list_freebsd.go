package guest

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// One answer holds so much of a list at most, and looks at no more than so many
// nodes: a suffix may match few.
const (
	listNodes = 1000
	listBytes = 256 << 10
	listLooks = 20_000
)

// sysctls lists values by prefix, or those of the given names.
func sysctls(ctx context.Context, args SysctlsArgs) (Sysctls, error) {
	if len(args.Names) > 0 {
		return named(ctx, args.Names)
	}
	list := Sysctls{Nodes: []Sysctl{}}
	root, at, err := begin(args)
	if err != nil || at == nil {
		return list, err
	}
	size := 0
	for looks := 0; ; looks++ {
		if ctx.Err() != nil {
			return list, context.Cause(ctx)
		}
		if len(list.Nodes) >= listNodes || size >= listBytes || looks >= listLooks {
			list.After = at.String()
			return list, nil
		}
		next, err := following(at)
		if err != nil || next == nil || !next.below(root) {
			return list, err
		}
		at = next
		node, ok, err := nodeAt(ctx, at, args.Suffix)
		if err != nil {
			return list, err
		}
		if ok {
			list.Nodes = append(list.Nodes, node)
			size += len(node.Value) + len(node.Name)
		}
	}
}

// begin is the root of a list and the place after which it goes on; a nil place
// means that there is nothing to list. The list of everything leaves out the
// sysctls that tell about sysctls.
func begin(args SysctlsArgs) (root, at oid, err error) {
	at = oid{1}
	if args.Prefix != "" {
		if root, _, err = lookUp(args.Prefix); err != nil {
			return nil, nil, err
		}
		at = root
	}
	if args.After != "" && at != nil {
		at, err = parseOID(args.After)
	}
	return root, at, err
}

func named(ctx context.Context, names []string) (Sysctls, error) {
	list := Sysctls{Nodes: []Sysctl{}}
	if len(names) > listNodes/10 {
		return list, fmt.Errorf("%d names at once, at most %d", len(names), listNodes/10)
	}
	for _, name := range names {
		mib, ok, err := lookUp(name)
		if err != nil {
			return list, fmt.Errorf("%s: %w", name, err)
		}
		if !ok {
			continue
		}
		node, ok, err := describe(ctx, mib, name)
		if err != nil {
			return list, fmt.Errorf("%s: %w", name, err)
		}
		if ok {
			list.Nodes = append(list.Nodes, node)
		}
	}
	return list, nil
}

// following is the next leaf after a node, nil after the last one.
func following(at oid) (oid, error) {
	buf := make([]int32, maxOID)
	b, err := about(oidNext, at, unsafe.Slice((*byte)(unsafe.Pointer(&buf[0])), 4*maxOID))
	if errors.Is(err, unix.ENOENT) {
		return nil, nil
	}
	return buf[:len(b)/4], err
}

// nodeAt reads the node if its name ends in suffix; false when it does not or
// when the node went away: sysctls come and go with what they tell about.
func nodeAt(ctx context.Context, at oid, suffix string) (Sysctl, bool, error) {
	b, err := about(oidName, at, make([]byte, 1024))
	if errors.Is(err, unix.ENOENT) {
		return Sysctl{}, false, nil
	}
	if err != nil {
		return Sysctl{}, false, err
	}
	name := unix.ByteSliceToString(b)
	if !strings.HasSuffix(name, suffix) {
		return Sysctl{}, false, nil
	}
	return describe(ctx, at, name)
}

// describe reads one node. That the kernel refuses the value is part of the
// answer: many sysctls can only be written.
func describe(ctx context.Context, at oid, name string) (Sysctl, bool, error) {
	kind, text, err := format(at)
	if errors.Is(err, unix.ENOENT) {
		return Sysctl{}, false, nil
	}
	if err != nil {
		return Sysctl{}, false, err
	}
	node := Sysctl{Name: name, Kind: kind, Format: text}
	if kind == "node" {
		return node, true, nil // such as kern.proc.all, which takes arguments
	}
	buf := make([]byte, MaxSysctlValue)
	n, err := sysctl(at, buf, nil)
	if errors.Is(err, unix.ENOMEM) { // the buffer is full, and there is more
		node.Value = buf[:min(n, len(buf))]
		node.Size, err = sysctl(at, nil, nil)
	} else if err == nil {
		node.Value, node.Size = buf[:n], n
	}
	var errno unix.Errno
	switch {
	case errors.Is(err, unix.ENOENT):
		return Sysctl{}, false, nil
	case errors.As(err, &errno):
		node.Refused = unix.ErrnoName(errno)
	case err != nil:
		return Sysctl{}, false, err
	}
	return node, ctx.Err() == nil, nil
}

// below reports whether o lies under root in the tree.
func (o oid) below(root oid) bool {
	if len(o) < len(root) {
		return false
	}
	for i, n := range root {
		if o[i] != n {
			return false
		}
	}
	return true
}

func (o oid) String() string {
	words := make([]string, len(o))
	for i, n := range o {
		words[i] = strconv.Itoa(int(n))
	}
	return strings.Join(words, ".")
}

func parseOID(s string) (oid, error) {
	var o oid
	for word := range strings.SplitSeq(s, ".") {
		n, err := strconv.ParseInt(word, 10, 32)
		if err != nil || len(o) == maxOID-2 {
			return nil, fmt.Errorf("%q is no place in the tree of sysctls", s)
		}
		o = append(o, int32(n))
	}
	return o, nil
}
