package guest

import "golang.org/x/sys/unix"

var systemOptions = map[string]option{
	"nopush":       {unix.IPPROTO_TCP, unix.TCP_CORK, false},
	"fastopen":     {unix.IPPROTO_TCP, unix.TCP_FASTOPEN, false},
	"user_timeout": {unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, false},
}

// Linux has one stack.
func setStack(int, string) error   { return unix.ENOPROTOOPT }
func getStack(int) (string, error) { return "", unix.ENOPROTOOPT }
