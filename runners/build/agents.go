package build

import (
	"embed"
	"fmt"
)

//go:embed agents
var agents embed.FS

// Agent returns the guest agent for an operating system and an architecture, as
// `make` embedded it. It is a static executable and the same for the life of
// the process.
func Agent(os, arch string) ([]byte, error) {
	b, err := agents.ReadFile("agents/headwatch-agent-" + os + "-" + arch)
	if err != nil {
		return nil, fmt.Errorf("agent for %s/%s is not in this binary: build with `make`", os, arch)
	}
	return b, nil
}
