package suites

import (
	"bufio"
	"io"
)

// Save keeps what write writes as a file of the case, as Keep says; it does nothing
// where nothing can be kept. A file that was not written to its end is not kept.
func (t *T) Save(name, mediaType string, write func(w io.Writer) error) error {
	if t.Keep == nil {
		return nil
	}
	f, err := t.Keep(name, mediaType)
	if err != nil {
		return err
	}
	b := bufio.NewWriter(f)
	if err = write(b); err == nil {
		err = b.Flush()
	}
	if err == nil {
		return f.Close()
	}
	if d, ok := f.(interface{ Discard() }); ok {
		d.Discard()
	}
	return err
}
