package artifacts

import (
	"os"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if image := os.Getenv(childImage); image != "" {
		os.Exit(fillDisk(os.Getenv(childURL), image, os.Getenv(childCache)))
	}
	if url := os.Getenv(childURL); url != "" {
		os.Exit(fetchAsChild(url, os.Getenv(childCache)))
	}
	goleak.VerifyTestMain(m)
}
