package suites

import (
	"bytes"
	"errors"
	"io"
	"testing"
)

// sheet is a file of a case, and what became of it.
type sheet struct {
	bytes.Buffer
	full              error
	closed, discarded bool
}

func (s *sheet) Write(p []byte) (int, error) {
	if s.full != nil {
		return 0, s.full
	}
	return s.Buffer.Write(p)
}
func (s *sheet) Close() error { s.closed = true; return nil }
func (s *sheet) Discard()     { s.discarded = true }

func TestSave(t *testing.T) {
	hello := func(w io.Writer) error { _, err := io.WriteString(w, "hello"); return err }
	if err := (&T{}).Save("a", "text/plain", hello); err != nil {
		t.Errorf("where nothing can be kept: %v", err)
	}
	full, ours, none := errors.New("disk full"), errors.New("no stream 3"), errors.New("not a name")
	for name, tt := range map[string]struct {
		sheet sheet
		keep  error
		write func(io.Writer) error
		want  error
	}{
		"all is well":    {write: hello},
		"no room":        {write: hello, sheet: sheet{full: full}, want: full},
		"nothing to say": {write: func(io.Writer) error { return ours }, want: ours},
		"refused":        {write: hello, keep: none, want: none},
	} {
		t.Run(name, func(t *testing.T) {
			c := T{Keep: func(string, string) (io.WriteCloser, error) { return &tt.sheet, tt.keep }}
			if err := c.Save("a.txt", "text/plain", tt.write); err != tt.want {
				t.Errorf("error %v, want %v", err, tt.want)
			}
			s := &tt.sheet
			if whole := tt.want == nil; s.closed != whole || (s.String() == "hello") != whole {
				t.Errorf("closed %v with %q", s.closed, s)
			}
			if s.discarded != (tt.want != nil && tt.keep == nil) {
				t.Errorf("discarded %v", s.discarded)
			}
		})
	}
}
