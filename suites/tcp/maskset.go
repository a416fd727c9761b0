package tcp

import (
	"math/bits"
	"math/rand/v2"
	"sync"
)

// maskParts is how many runs take all masks: each some minutes of an emulated machine.
const maskParts = 80

// allMasks are the masks of R02, each once: up to maskHoles holes of at most maskLength
// segments. They are shuffled, always in the same way, so that each part of them has all
// kinds.
var allMasks = sync.OnceValue(func() []uint64 {
	var list []uint64
	for m := uint64(1); m < 1<<maskSegments; m++ {
		if isMask(m) {
			list = append(list, m)
		}
	}
	rand.New(rand.NewPCG(2, 2)).Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	return list
})

// isMask says whether a mask has few enough holes, and none that is longer than they may
// be.
func isMask(m uint64) bool {
	holes := bits.OnesCount64(m &^ (m << 1)) // where one begins
	longer := m
	for range maskLength {
		longer &= longer >> 1
	}
	return holes >= 1 && holes <= maskHoles && longer == 0
}

// maskPart is a part of all masks: consecutive seeds take each in turn.
func maskPart(seed uint64) []uint64 {
	all := allMasks()
	part := int(seed % maskParts)
	return all[len(all)*part/maskParts : len(all)*(part+1)/maskParts]
}
