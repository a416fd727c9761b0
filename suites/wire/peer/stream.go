package peer

import "github.com/headwatch/headwatch/suites/wire"

// maxContent bounds what is kept of one direction of a scripted connection, in bytes.
const maxContent = 64 << 20

// content is one direction of a stream: which bytes are there, and what they are.
// Byte 0 is the one behind the SYN.
type content struct {
	data []byte
	have []wire.Range // sorted, with gaps between them
}

// add puts b at its place. It says whether every byte was there already, and whether
// one that was there has changed.
func (c *content) add(at int64, b []byte) (duplicate, changed bool) {
	if at < 0 {
		b = b[min(int64(len(b)), -at):]
		at = 0
	}
	if len(b) == 0 || at+int64(len(b)) > maxContent {
		return len(b) == 0, false
	}
	end := at + int64(len(b))
	if grow := end - int64(len(c.data)); grow > 0 {
		c.data = append(c.data, make([]byte, grow)...)
	}
	merged := wire.Range{From: at, To: end}
	keep := make([]wire.Range, 0, len(c.have)+1)
	placed := false
	for _, r := range c.have {
		if r.From <= at && end <= r.To {
			duplicate = true
		}
		for i, to := max(r.From, at), min(r.To, end); i < to && !changed; i++ {
			changed = c.data[i] != b[i-at]
		}
		switch {
		case r.To < merged.From:
			keep = append(keep, r)
		case r.From > merged.To:
			if !placed {
				keep, placed = append(keep, merged), true
			}
			keep = append(keep, r)
		default:
			merged = wire.Range{From: min(merged.From, r.From), To: max(merged.To, r.To)}
		}
	}
	if !placed {
		keep = append(keep, merged)
	}
	c.have = keep
	copy(c.data[at:], b)
	return duplicate, changed
}

// next is the first byte that is not there.
func (c *content) next() int64 {
	if len(c.have) > 0 && c.have[0].From == 0 {
		return c.have[0].To
	}
	return 0
}

// beyond are the ranges behind next.
func (c *content) beyond() []wire.Range {
	if c.next() > 0 {
		return c.have[1:]
	}
	return c.have
}
