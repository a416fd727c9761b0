package guest

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

var systemOptions = map[string]option{
	"nopush":       {unix.IPPROTO_TCP, unix.TCP_CORK, false},
	"fastopen":     {unix.IPPROTO_TCP, unix.TCP_FASTOPEN, false},
	"user_timeout": {unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, false},
	"md5sig":       {unix.IPPROTO_TCP, unix.TCP_MD5SIG, true},
}

// Linux has one stack.
func setStack(int, string) error   { return unix.ENOPROTOOPT }
func getStack(int) (string, error) { return "", unix.ENOPROTOOPT }

// setKey sets the key of an address: "ADDRESS KEY" (include/uapi/linux/tcp.h, struct
// tcp_md5sig).
func setKey(fd int, value string) error {
	text, key, _ := strings.Cut(value, " ")
	a, err := netip.ParseAddr(text)
	var sig unix.TCPMD5Sig
	if err != nil || key == "" || len(key) > len(sig.Key) {
		return fmt.Errorf("key %q: want an address, a space, and 1 to %d bytes", value, len(sig.Key))
	}
	sig.Keylen = uint16(copy(sig.Key[:], key))
	raw := unsafe.Slice((*byte)(unsafe.Pointer(&sig.Addr)), unsafe.Sizeof(sig.Addr))
	if a.Is4() {
		binary.NativeEndian.PutUint16(raw, unix.AF_INET)
		copy(raw[4:], a.AsSlice()) // struct sockaddr_in
	} else {
		binary.NativeEndian.PutUint16(raw, unix.AF_INET6)
		copy(raw[8:], a.AsSlice()) // struct sockaddr_in6
	}
	return unix.SetsockoptTCPMD5Sig(fd, unix.IPPROTO_TCP, unix.TCP_MD5SIG, &sig)
}
