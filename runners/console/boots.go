package console

import (
	"regexp"
	"strings"

	"github.com/headwatch/headwatch/runners"
)

// loop is the number of banners from which on a guest is in a reset loop.
const loop = 3

// boots counts kernels.
type boots struct {
	count   int
	marked  bool // by "---<<BOOT>>---": the copyright that follows is the same kernel's
	crashed bool // since the last banner a kernel gave up,
	leaving bool // or said that it goes down
}

// silentReset is a kernel that starts though the one before it neither gave up nor
// said that it goes down.
var silentReset = pattern{kind: runners.KindReset, find: never, single: true, fatal: true}

var linuxBanner = regexp.MustCompile(`^Linux version \d`)

// isBanner says whether a kernel starts with this line. FreeBSD's have two: the
// mark of 12.0 and later, and the copyright.
func isBanner(line string) bool {
	return strings.HasPrefix(line, "---<<BOOT>>---") || isCopyright(line) || linuxBanner.MatchString(line)
}

func isCopyright(line string) bool {
	return strings.HasPrefix(line, "Copyright (c) 1992-") && strings.Contains(line, "The FreeBSD Project.")
}

// banner takes the first words of a kernel.
func (s *Scanner) banner(line string, at int64) {
	if isCopyright(line) && s.boots.marked {
		s.boots.marked = false
		return
	}
	s.close(at)
	was := s.boots
	s.boots = boots{count: was.count + 1, marked: strings.HasPrefix(line, "---<<BOOT>>---")}
	s.last = nil // whatever comes is no consequence of what a dead kernel said
	if was.count == 0 {
		return
	}
	s.find(runners.KindReset, "another kernel banner", line, at)
	if s.boots.count >= loop {
		s.find(runners.KindReset, "reset loop", line, at)
	}
	if !was.crashed && !was.leaving {
		s.open = newReport(&silentReset, "reset without a word: another kernel banner", line)
		s.add(line, at)
		s.boots.crashed = false // the one that starts now has done nothing yet
	}
}
