package console

import (
	"bytes"
	"sync"
	"testing"
)

// TestStalledFollowersBlockNobody lets hundreds of readers stop in the middle of
// their first piece. The writer says more than the log keeps, and a reader that is
// awake reads on: would either wait for one that is stalled, this never ended.
func TestStalledFollowersBlockNobody(t *testing.T) {
	l := New(Options{Head: 64 << 10, Tail: 64 << 10})
	line := append(bytes.Repeat([]byte("x"), 99), '\n')
	l.Write(line)
	const stalled = 300
	release := make(chan struct{})
	var holding, readers sync.WaitGroup
	holding.Add(stalled)
	missed := make([]int64, stalled)
	for i := range stalled {
		readers.Go(func() {
			first := true
			for c, err := range l.Follow(t.Context(), 0) {
				if err != nil {
					t.Error(err)
				}
				missed[i] += c.Missed
				if first {
					first = false
					holding.Done()
					<-release
				}
			}
		})
	}
	holding.Wait()
	var awake int64
	readers.Go(func() {
		for c := range l.Follow(t.Context(), 0) {
			awake += int64(len(c.Data)) + c.Missed
		}
	})
	const lines = 50_000
	for range lines {
		l.Write(line)
	}
	if got := l.Size(); got != (lines+1)*100 {
		t.Errorf("said %d bytes while %d readers were stalled", got, stalled)
	}
	l.Close()
	close(release)
	readers.Wait()
	if awake != (lines+1)*100 {
		t.Errorf("the reader that was awake was told of %d bytes", awake)
	}
	for i, n := range missed {
		if n == 0 {
			t.Fatalf("reader %d was stalled and missed nothing of what the log dropped", i)
		}
	}
}
