package peer

import (
	"math/rand"
	"sync"
)

// lockedSource is a source that the stack may ask from any goroutine.
type lockedSource struct {
	mu   sync.Mutex
	from rand.Source
}

func (s *lockedSource) Int63() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.from.Int63()
}

func (s *lockedSource) Seed(seed int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.from.Seed(seed)
}
