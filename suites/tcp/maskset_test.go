package tcp

import "testing"

// The parts hold each mask once, and no others.
func TestAllMasksInParts(t *testing.T) {
	// Counted otherwise: of masks with up to four runs of one to three of 24 bits.
	const want = 234_408
	seen := map[uint64]bool{}
	for seed := range uint64(maskParts) {
		for _, m := range maskPart(seed + 7*maskParts) {
			if seen[m] || !isMask(m) || m >= 1<<maskSegments {
				t.Fatalf("mask %06x: again, or none", m)
			}
			seen[m] = true
		}
	}
	if len(seen) != want {
		t.Errorf("%d masks, want %d", len(seen), want)
	}
	for m, want := range map[uint64]bool{0: false, 0b1: true, 0b111: true, 0b1111: false, 0b101010101: false, 0b1110111: true} {
		if isMask(m) != want {
			t.Errorf("mask %b: %v", m, !want)
		}
	}
}
