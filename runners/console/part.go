package console

import (
	"fmt"

	"github.com/headwatch/headwatch/runners"
)

// Part is the console of one of several machines that share a log, one after the
// other: what it says goes to the log, and is recognized by itself. A machine is
// not blamed for its predecessors, and its start is not their reset. It implements
// runners.Console and is safe for concurrent use.
type Part struct {
	log  *Log
	from int64    // offset of its first byte
	scan *Scanner // guarded by log.mu
}

// Expect has none of these titles taken for a crash from now on. What else is said
// meanwhile is recognized.
func (p *Part) Expect(titles []string) {
	p.log.mu.Lock()
	defer p.log.mu.Unlock()
	p.scan.expected = titles
}

var _ runners.MachineConsole = (*Part)(nil)

// Part begins the next machine's part of the log, under a line that says what it
// is. The parts before it should be over.
func (l *Log) Part(title string) runners.MachineConsole {
	now := l.since()
	l.mu.Lock()
	defer l.mu.Unlock()
	head := fmt.Sprintf("---- %s ----\n", title)
	if len(l.cur.Text) > 0 {
		head = "\n" + head
	}
	l.add([]byte(head), now)
	p := &Part{log: l, from: l.total, scan: NewScanner()}
	l.parts = append(l.parts, p)
	return p
}

// Write adds what the machine said. It takes everything and returns no error.
func (p *Part) Write(b []byte) (int, error) {
	now := p.log.since()
	p.log.mu.Lock()
	defer p.log.mu.Unlock()
	p.log.add(b, now)
	p.scan.Write(b)
	return len(b), nil
}

// Crashes lists the part's crashes, as Log.Crashes does.
func (p *Part) Crashes() []runners.Crash {
	p.log.mu.Lock()
	defer p.log.mu.Unlock()
	return p.scan.Crashes()
}

// Tail returns the last n bytes that the machine said; see Log.Tail.
func (p *Part) Tail(n int) string {
	return p.log.Tail(int(min(int64(n), p.log.Size()-p.from)))
}

// Banners is how many times a kernel began to speak in this part.
func (p *Part) Banners() int {
	p.log.mu.Lock()
	defer p.log.mu.Unlock()
	return p.scan.Banners()
}

// Arriving says whether a report has begun and is not over; see Scanner.Arriving.
func (p *Part) Arriving() bool {
	p.log.mu.Lock()
	defer p.log.mu.Unlock()
	return p.scan.Arriving()
}

// Findings lists what else the machine said that is worth knowing.
func (p *Part) Findings() []Finding {
	p.log.mu.Lock()
	defer p.log.mu.Unlock()
	return p.scan.Findings()
}
