package guest

import (
	"bytes"
	"unsafe"

	"golang.org/x/sys/unix"
)

// tcpFunctionBlk is TCP_FUNCTION_BLK (netinet/tcp.h).
const tcpFunctionBlk = 8192

var systemOptions = map[string]option{
	"nopush":       {unix.IPPROTO_TCP, unix.TCP_NOPUSH, false},
	"fastopen":     {unix.IPPROTO_TCP, 1025, false}, // TCP_FASTOPEN, netinet/tcp.h
	"function_blk": {unix.IPPROTO_TCP, tcpFunctionBlk, true},
}

// functionSet is struct tcp_function_set (netinet/tcp.h): a name of
// TCP_FUNCTION_NAME_LEN_MAX bytes, and a count of its users.
type functionSet struct {
	name  [32]byte
	users uint32
}

func setStack(fd int, stack string) error {
	var set functionSet
	if copy(set.name[:len(set.name)-1], stack) < len(stack) {
		return unix.ENAMETOOLONG
	}
	_, _, errno := unix.Syscall6(unix.SYS_SETSOCKOPT, uintptr(fd), unix.IPPROTO_TCP, tcpFunctionBlk, uintptr(unsafe.Pointer(&set)), unsafe.Sizeof(set), 0)
	if errno != 0 {
		return errno
	}
	return nil
}

func getStack(fd int) (string, error) {
	b, err := getsockopt(fd, unix.IPPROTO_TCP, tcpFunctionBlk, int(unsafe.Sizeof(functionSet{})))
	if err != nil {
		return "", err
	}
	name, _, _ := bytes.Cut(b[:min(len(b), 32)], []byte{0})
	return string(name), nil
}

// FreeBSD keeps keys with those of IPsec (setkey(8)), not with a socket.
func setKey(int, string) error { return unix.ENOPROTOOPT }
