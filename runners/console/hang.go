package console

import "github.com/headwatch/headwatch/runners"

// A runner that finds a guest hanging writes a report of its own on the console, from
// a line that begins with HangMark to the line HangEnd: what the kernel says to an
// interrupt in between is part of it, and no panic of its own.
const (
	HangMark = "headwatch: hang: "
	HangEnd  = "headwatch: end of hang"
	// HangTitle begins the title of such a report.
	HangTitle = "hang: "
)

func hangPatterns() []pattern {
	return []pattern{
		{kind: runners.KindHang, hints: []string{HangMark}, find: re(`^headwatch: (hang: [^;]+)`), fatal: true, in: true, end: re(`^headwatch: end of hang$`)},
	}
}
