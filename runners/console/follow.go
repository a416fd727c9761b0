package console

import (
	"context"
	"iter"
	"sort"
	"time"
)

// maxChunk bounds what one step of Follow copies while it holds up the writer.
const maxChunk = 32 << 10

// Chunk is a piece of the log as a follower gets it.
type Chunk struct {
	Offset int64         // place of Data[0] in all that was said
	At     time.Duration // when the line that holds Data[0] began
	Data   []byte        // the follower's own copy
	Missed int64         // bytes dropped just before Offset: the log's gap, or a reader too slow
}

// Next is the offset to go on from.
func (c Chunk) Next() int64 { return c.Offset + int64(len(c.Data)) }

// Follow yields what was said from offset from on, and then what is said, until
// the log is closed (no error), ctx ends (its error) or the caller stops. A
// reader that cannot keep up loses the middle, and Missed says how much.
func (l *Log) Follow(ctx context.Context, from int64) iter.Seq2[Chunk, error] {
	from = max(from, 0)
	return func(yield func(Chunk, error) bool) {
		for {
			c, changed, closed := l.next(from)
			switch {
			case len(c.Data) > 0:
				if !yield(c, nil) {
					return
				}
				from = c.Next()
			case closed:
				return
			default:
				select {
				case <-changed:
				case <-ctx.Done():
				}
			}
			if err := ctx.Err(); err != nil {
				yield(Chunk{}, err)
				return
			}
		}
	}
}

// next copies up to maxChunk bytes from offset from on without crossing a gap.
// With nothing to copy it registers the caller as waiting.
func (l *Log) next(from int64) (c Chunk, changed <-chan struct{}, closed bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if from >= l.total {
		l.waiting++
		return c, l.changed, l.closed
	}
	line, missed := l.at(from)
	from += missed
	c = Chunk{Offset: from, At: line.At, Missed: missed}
	for {
		c.Data = append(c.Data, tailOf(line, from)...)
		from = line.Offset + line.size()
		if from >= l.total || len(c.Data)+maxLine > maxChunk {
			return c, l.changed, l.closed
		}
		if line, missed = l.at(from); missed > 0 {
			return c, l.changed, l.closed
		}
	}
}

// find returns the first line of lines that ends after offset.
func find(lines []Line, offset int64) (Line, bool) {
	i := sort.Search(len(lines), func(i int) bool { return lines[i].Offset+lines[i].size() > offset })
	if i == len(lines) {
		return Line{}, false
	}
	return lines[i], true
}
