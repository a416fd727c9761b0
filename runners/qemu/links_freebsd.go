package qemu

// lockMemory has nothing to do: only Linux passes NICs through.
func lockMemory(int) error { return nil }
