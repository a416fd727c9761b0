//go:build linux || freebsd

package guest

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// option is where a kernel keeps an option.
type option struct {
	level, name int
	text        bool // a name, not a number
}

// options are those of both systems; systemOptions has the rest.
var options = map[string]option{
	"nodelay":    {unix.IPPROTO_TCP, unix.TCP_NODELAY, false},
	"maxseg":     {unix.IPPROTO_TCP, unix.TCP_MAXSEG, false},
	"congestion": {unix.IPPROTO_TCP, unix.TCP_CONGESTION, true},
	"keepidle":   {unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, false},
	"keepintvl":  {unix.IPPROTO_TCP, unix.TCP_KEEPINTVL, false},
	"keepcnt":    {unix.IPPROTO_TCP, unix.TCP_KEEPCNT, false},
	"sndbuf":     {unix.SOL_SOCKET, unix.SO_SNDBUF, false},
	"rcvbuf":     {unix.SOL_SOCKET, unix.SO_RCVBUF, false},
	"reuseaddr":  {unix.SOL_SOCKET, unix.SO_REUSEADDR, false},
	"keepalive":  {unix.SOL_SOCKET, unix.SO_KEEPALIVE, false},
	"error":      {unix.SOL_SOCKET, unix.SO_ERROR, false},
}

func optionNamed(name string) (option, error) {
	if o, ok := options[name]; ok {
		return o, nil
	}
	if o, ok := systemOptions[name]; ok {
		return o, nil
	}
	known := slices.Sorted(maps.Keys(options))
	known = slices.AppendSeq(known, maps.Keys(systemOptions))
	slices.Sort(known)
	return option{}, fmt.Errorf("socket option %q: this system has %s", name, strings.Join(known, " "))
}

// setOptions sets them in the order of their names.
func setOptions(fd int, values map[string]string) error {
	for _, name := range slices.Sorted(maps.Keys(values)) {
		if err := setOption(fd, name, values[name]); err != nil {
			return fmt.Errorf("%s=%s: %w", name, values[name], err)
		}
	}
	return nil
}

func setOption(fd int, name, value string) error {
	o, err := optionNamed(name)
	if err != nil {
		return err
	}
	if name == "function_blk" {
		return setStack(fd, value)
	}
	if name == "md5sig" {
		return setKey(fd, value)
	}
	if o.text {
		return unix.SetsockoptString(fd, o.level, o.name, value)
	}
	n, err := strconv.Atoi(value)
	if err != nil {
		return fmt.Errorf("want a number: %w", err)
	}
	return unix.SetsockoptInt(fd, o.level, o.name, n)
}

func getOption(fd int, name string) (string, error) {
	o, err := optionNamed(name)
	if err != nil {
		return "", err
	}
	if name == "function_blk" {
		return getStack(fd)
	}
	if o.text {
		return unix.GetsockoptString(fd, o.level, o.name)
	}
	n, err := unix.GetsockoptInt(fd, o.level, o.name)
	return strconv.Itoa(n), err
}

func (t *table) option(_ context.Context, a OptionArgs) (Options, error) {
	s, err := t.any(a.ID)
	if err != nil {
		return Options{}, err
	}
	out := Options{map[string]string{}}
	err = onFD(s, func(fd int) error {
		if err := setOptions(fd, a.Set); err != nil {
			return err
		}
		for _, name := range a.Get {
			value, err := getOption(fd, name)
			if err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			out.Values[name] = value
		}
		return nil
	})
	return out, err
}

// maxInfo is more than any kernel's struct tcp_info has, in bytes.
const maxInfo = 1024

func (t *table) info(_ context.Context, a IDArgs) (i Info, err error) {
	s, err := t.conn(a.ID)
	if err != nil {
		return i, err
	}
	err = onFD(s, func(fd int) (err error) {
		i.Data, err = getsockopt(fd, unix.IPPROTO_TCP, unix.TCP_INFO, maxInfo)
		return err
	})
	return i, err
}

// getsockopt reads an option of any form.
func getsockopt(fd, level, name, size int) ([]byte, error) {
	b := make([]byte, size)
	n := uint32(size)
	if _, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(fd), uintptr(level), uintptr(name), uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(unsafe.Pointer(&n)), 0); errno != 0 {
		return nil, errno
	}
	return b[:min(int(n), size)], nil
}
