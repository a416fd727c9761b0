package wire

import (
	"time"

	"golang.org/x/sys/unix"
)

const (
	never = time.Duration(1<<63 - 1)
	// doze is how late the timers of Go's runtime are at worst when nothing else runs:
	// they wait in whole milliseconds. The rest is slept by the system's finer clock,
	// in pieces, for what becomes due earlier meanwhile.
	doze  = 1200 * time.Microsecond
	piece = 200 * time.Microsecond
)

// clock hands out what is due, for all frames of the cable.
func (c *Cable) clock() {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		c.mu.Lock()
		now := c.Now()
		c.core.advance(now)
		c.alarm = never
		if due, ok := c.core.next(); ok {
			c.alarm = due
		}
		rest := c.alarm - now
		c.mu.Unlock()
		if rest <= doze {
			select {
			case <-c.closed:
				return
			default:
			}
			t := unix.NsecToTimespec(int64(min(rest, piece)))
			unix.Nanosleep(&t, nil) // cut short by a signal: it only looks earlier
			continue
		}
		if rest == never-now {
			rest = time.Hour
		} else {
			rest -= doze
		}
		timer.Reset(rest)
		select {
		case <-c.closed:
			return
		case <-c.nudge:
		case <-timer.C:
		}
	}
}
