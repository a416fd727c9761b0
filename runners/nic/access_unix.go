//go:build unix

package nic

import "golang.org/x/sys/unix"

// mayWrite says whether this process may write a file.
func mayWrite(path string) bool { return unix.Access(path, unix.W_OK) == nil }
