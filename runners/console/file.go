package console

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/google/renameio/v2"
	"github.com/klauspost/compress/zstd"
)

// A saved log is text, compressed with zstd. After the first line, magic, each
// record is one line:
//
//	SECONDS SEPARATOR TEXT
//
// SECONDS is the time since the start of the log, with six decimals. SEPARATOR is
// one byte: a space when a newline followed TEXT, '+' when the next record goes on
// with the same line (or the log ended there), '!' when the log has a gap: TEXT is
// then the number of bytes that were not kept. TEXT is as the guest sent it.
const magic = "headwatch console log 1"

// Snapshot is a copy of a log.
type Snapshot struct {
	Head    []Line
	Dropped int64 // bytes between Head and Tail that were not kept
	Tail    []Line
}

// Snapshot copies what is kept, with the line under way.
func (l *Log) Snapshot() Snapshot {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := Snapshot{Head: slices.Clone(l.head), Tail: slices.Clone(l.tail[l.first:])}
	for i := range s.Tail { // the log uses its own texts again
		s.Tail[i].Text = slices.Clone(s.Tail[i].Text)
	}
	if len(l.cur.Text) > 0 {
		cur := l.cur
		cur.Text = append([]byte(nil), cur.Text...)
		s.Tail = append(s.Tail, cur)
	}
	var end int64
	if n := len(s.Head); n > 0 {
		end = s.Head[n-1].Offset + s.Head[n-1].size()
	}
	if len(s.Tail) > 0 {
		s.Dropped = s.Tail[0].Offset - end
	}
	return s
}

// Bytes returns the stream, with a line of its own where the gap is.
func (s Snapshot) Bytes() []byte {
	var b bytes.Buffer
	write := func(lines []Line) {
		for _, l := range lines {
			b.Write(l.Text)
			if l.Ended {
				b.WriteByte('\n')
			}
		}
	}
	write(s.Head)
	if s.Dropped > 0 {
		fmt.Fprintf(&b, "\n[... %d bytes not kept ...]\n", s.Dropped)
	}
	write(s.Tail)
	return b.Bytes()
}

// Save writes what is kept to path, which appears complete and on disk, or not at
// all.
func (l *Log) Save(path string) error {
	if err := l.Snapshot().save(path); err != nil {
		return fmt.Errorf("save console log %s: %w", path, err)
	}
	return nil
}

func (s Snapshot) save(path string) error {
	f, err := renameio.NewPendingFile(path, renameio.WithTempDir(filepath.Dir(path)), renameio.WithPermissions(0o644))
	if err != nil {
		return err
	}
	defer f.Cleanup() // does nothing once the file has its name
	z, err := zstd.NewWriter(f, zstd.WithEncoderConcurrency(1))
	if err != nil {
		return err
	}
	w := bufio.NewWriter(z)
	fmt.Fprintln(w, magic)
	writeLines(w, s.Head)
	if s.Dropped > 0 {
		var at time.Duration
		if len(s.Tail) > 0 {
			at = s.Tail[0].At
		}
		fmt.Fprintf(w, "%.6f!%d\n", at.Seconds(), s.Dropped)
	}
	writeLines(w, s.Tail)
	if err := w.Flush(); err != nil {
		return err
	}
	if err := z.Close(); err != nil {
		return err
	}
	return f.CloseAtomicallyReplace()
}

func writeLines(w *bufio.Writer, lines []Line) {
	for _, l := range lines {
		sep := byte('+')
		if l.Ended {
			sep = ' '
		}
		fmt.Fprintf(w, "%.6f%c%s\n", l.At.Seconds(), sep, l.Text)
	}
}

// Load reads a saved log. A file that holds more than limit bytes uncompressed,
// or that Save did not write, is an error.
func Load(path string, limit int64) (Snapshot, error) {
	s, err := load(path, limit)
	if err != nil {
		return Snapshot{}, fmt.Errorf("load console log %s: %w", path, err)
	}
	return s, nil
}

func load(path string, limit int64) (Snapshot, error) {
	f, err := os.Open(path)
	if err != nil {
		return Snapshot{}, err
	}
	defer f.Close()
	z, err := zstd.NewReader(f, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(64<<20))
	if err != nil {
		return Snapshot{}, err
	}
	defer z.Close()
	return parse(z, limit)
}

// parse reads the uncompressed form.
func parse(r io.Reader, limit int64) (Snapshot, error) {
	lr := &io.LimitedReader{R: r, N: limit + 1}
	sc := bufio.NewScanner(lr)
	sc.Buffer(nil, maxLine+64)
	sc.Split(scanNewlines)
	if !sc.Scan() || sc.Text() != magic {
		if err := sc.Err(); err != nil {
			return Snapshot{}, err
		}
		return Snapshot{}, fmt.Errorf("line 1: want %q", magic)
	}
	var p parser
	for n := 2; sc.Scan(); n++ {
		if err := p.record(sc.Bytes()); err != nil {
			return Snapshot{}, fmt.Errorf("line %d: %w", n, err)
		}
	}
	if lr.N <= 0 {
		return Snapshot{}, fmt.Errorf("more than %d bytes uncompressed", limit)
	}
	return p.s, sc.Err()
}

// scanNewlines splits at '\n' and nothing else: '\r' belongs to the text.
func scanNewlines(data []byte, atEOF bool) (advance int, token []byte, err error) {
	if i := bytes.IndexByte(data, '\n'); i >= 0 {
		return i + 1, data[:i], nil
	}
	if atEOF && len(data) > 0 {
		return 0, nil, io.ErrUnexpectedEOF
	}
	return 0, nil, nil
}

type parser struct {
	s      Snapshot
	offset int64
	gap    bool
}

func (p *parser) record(rec []byte) error {
	i := bytes.IndexAny(rec, " +!")
	if i < 0 {
		return fmt.Errorf("want seconds, then a space, '+' or '!'")
	}
	seconds, err := strconv.ParseFloat(string(rec[:i]), 64)
	if err != nil || !(seconds >= 0 && seconds < 1e9) {
		return fmt.Errorf("time %q: want seconds", rec[:i])
	}
	at := time.Duration(seconds*1e6+0.5) * time.Microsecond
	if rec[i] == '!' {
		n, err := strconv.ParseInt(string(rec[i+1:]), 10, 64)
		if err != nil || n <= 0 || p.gap {
			return fmt.Errorf("gap %q: want one number of bytes per log", rec[i+1:])
		}
		p.s.Dropped, p.gap = n, true
		p.offset += n
		return nil
	}
	l := Line{Offset: p.offset, At: at, Text: append([]byte(nil), rec[i+1:]...), Ended: rec[i] == ' '}
	p.offset += l.size()
	if p.gap {
		p.s.Tail = append(p.s.Tail, l)
	} else {
		p.s.Head = append(p.s.Head, l)
	}
	return nil
}
