package linux

import (
	"os"
	"path/filepath"
)

// DefaultKernels is where set-up unpacks guest kernels: $HEADWATCH_KERNELS, or
// headwatch/kernels in the user's cache folder. It is empty when there is neither.
func DefaultKernels() string {
	if dir := os.Getenv("HEADWATCH_KERNELS"); dir != "" {
		return dir
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		return ""
	}
	return filepath.Join(dir, "headwatch", "kernels")
}
