package guest

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// oid is a sysctl's name in numbers, as __sysctl(2) takes it.
type oid []int32

// maxOID is CTL_MAXNAME of sys/sysctl.h.
const maxOID = 24

// The sysctls that tell about sysctls: the constants CTL_SYSCTL_NAME and so on.
var (
	oidName     = oid{0, 1}
	oidNext     = oid{0, 2}
	oidByName   = oid{0, 3}
	oidOfFormat = oid{0, 4}
)

// kindWords are the types of CTLTYPE_*, by number.
var kindWords = [16]string{
	"invalid", "node", "int", "string", "s64", "opaque", "uint", "long", "ulong", "u64",
	"u8", "u16", "s8", "s16", "s32", "u32",
}

// kindSizes are the bytes of a number of each kind; long is a word of both
// architectures.
var kindSizes = map[string]int{
	"int": 4, "uint": 4, "s32": 4, "u32": 4, "long": 8, "ulong": 8, "s64": 8, "u64": 8,
	"u8": 1, "s8": 1, "u16": 2, "s16": 2,
}

// sysctl is __sysctl(2). With neither old nor fresh it returns how many bytes the
// value has now; else how many it wrote to old.
func sysctl(mib oid, old, fresh []byte) (int, error) {
	n := uintptr(len(old))
	_, _, errno := unix.Syscall6(unix.SYS___SYSCTL, uintptr(unsafe.Pointer(unsafe.SliceData(mib))), uintptr(len(mib)),
		uintptr(unsafe.Pointer(unsafe.SliceData(old))), uintptr(unsafe.Pointer(&n)),
		uintptr(unsafe.Pointer(unsafe.SliceData(fresh))), uintptr(len(fresh)))
	if errno != 0 {
		return int(n), os.NewSyscallError("sysctl", errno)
	}
	return int(n), nil
}

// fetch reads a whole value. It grows between the question for its size and the
// one for itself, so the buffer has room to spare and the question is repeated.
func fetch(ctx context.Context, mib oid, limit int) ([]byte, error) {
	for spare := 4; ; spare-- {
		n, err := sysctl(mib, nil, nil)
		if err != nil {
			return nil, err
		}
		if n += n/spare + 512; n > limit {
			return nil, fmt.Errorf("value is about %d bytes, at most %d", n, limit)
		}
		buf := make([]byte, n)
		n, err = sysctl(mib, buf, nil)
		if err == nil {
			return buf[:n], nil
		}
		if !errors.Is(err, unix.ENOMEM) || spare == 1 {
			return nil, err
		}
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
	}
}

// lookUp finds a sysctl's number; false: the kernel has none of that name.
func lookUp(name string) (oid, bool, error) {
	mib := make([]int32, maxOID)
	buf := unsafe.Slice((*byte)(unsafe.Pointer(&mib[0])), 4*maxOID)
	n := uintptr(len(buf))
	text := []byte(name)
	_, _, errno := unix.Syscall6(unix.SYS___SYSCTL, uintptr(unsafe.Pointer(&oidByName[0])), uintptr(len(oidByName)),
		uintptr(unsafe.Pointer(&mib[0])), uintptr(unsafe.Pointer(&n)),
		uintptr(unsafe.Pointer(unsafe.SliceData(text))), uintptr(len(text)))
	switch {
	case errors.Is(errno, unix.ENOENT):
		return nil, false, nil
	case errno != 0:
		return nil, false, os.NewSyscallError("sysctl", errno)
	}
	return mib[:n/4], true, nil
}

// about asks one of the sysctls that tell about others.
func about(what, mib oid, buf []byte) ([]byte, error) {
	n, err := sysctl(append(append(oid{}, what...), mib...), buf, nil)
	if err != nil {
		return nil, err
	}
	return buf[:n], nil
}

// format is a sysctl's kind and how it is shown.
func format(mib oid) (kind, text string, err error) {
	b, err := about(oidOfFormat, mib, make([]byte, 256))
	if err != nil {
		return "", "", err
	}
	if len(b) < 4 {
		return "", "", fmt.Errorf("the kernel described a sysctl in %d bytes", len(b))
	}
	return kindWords[binary.NativeEndian.Uint32(b)&0xf], string(bytes.TrimRight(b[4:], "\x00")), nil
}

func readSysctl(ctx context.Context, name string) (raw, error) {
	mib, ok, err := lookUp(name)
	if err != nil || !ok {
		return raw{absent: !ok && err == nil}, err
	}
	data, err := fetch(ctx, mib, MaxReading)
	if err != nil {
		return raw{}, fmt.Errorf("read %s: %w", name, err)
	}
	return raw{data: data}, nil
}

func readPCBs(ctx context.Context) (raw, error) { return readSysctl(ctx, "net.inet.tcp.pcblist") }

func setSysctl(_ context.Context, args SysctlSetArgs) (done, error) {
	mib, ok, err := lookUp(args.Name)
	if err == nil && !ok {
		err = fmt.Errorf("this kernel has no sysctl %q", args.Name)
	}
	if err != nil {
		return done{}, err
	}
	data := args.Raw
	if data == nil {
		kind, _, err := format(mib)
		if err != nil {
			return done{}, err
		}
		if data, err = encode(kind, args.Text); err != nil {
			return done{}, fmt.Errorf("%s: %w", args.Name, err)
		}
	}
	if len(data) > MaxWrite {
		return done{}, fmt.Errorf("%s: value is %d bytes, at most %d", args.Name, len(data), MaxWrite)
	}
	if _, err = sysctl(mib, nil, data); err != nil {
		// A value that is not for writing is the case's mistake.
		return done{}, notOurs(fmt.Errorf("write %s: %w", args.Name, err))
	}
	return done{}, nil
}

// encode makes a value of a kind from text. A string is written without an end
// mark, as sysctl(8) does.
func encode(kind, text string) ([]byte, error) {
	if kind == "string" {
		return []byte(text), nil
	}
	size, ok := kindSizes[kind]
	if !ok {
		return nil, fmt.Errorf("a value of kind %s is written raw, not as text", kind)
	}
	var n uint64
	var err error
	if strings.HasPrefix(text, "-") {
		var signed int64
		signed, err = strconv.ParseInt(text, 0, 8*size)
		n = uint64(signed)
	} else {
		n, err = strconv.ParseUint(text, 0, 8*size)
	}
	if err != nil {
		return nil, fmt.Errorf("%q is no %s", text, kind)
	}
	return binary.LittleEndian.AppendUint64(nil, n)[:size], nil
}
