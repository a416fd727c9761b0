package tcp

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/headwatch/headwatch/suites/wire"
	"github.com/headwatch/headwatch/suites/wire/capture"
)

// keep saves what may explain err beside the result: the capture of the NIC, in which
// each frame has the rules that hit it for a comment.
func (b *Bed) keep(trace *wire.Trace, err error) error {
	if b.T.Keep == nil {
		return err
	}
	return errors.Join(err, b.save("pcapng", "application/x-pcapng", func(w io.Writer) error { return capture.Write(w, trace) }))
}

// save writes one file.
func (b *Bed) save(kind, mediaType string, write func(io.Writer) error) error {
	name := fmt.Sprintf("nic%d.%s", b.NIC.Number(), strings.TrimPrefix(kind, "."))
	w, err := b.T.Keep(name, mediaType)
	if err != nil {
		return fmt.Errorf("keeping %s: %w", name, err)
	}
	if err := errors.Join(write(w), w.Close()); err != nil {
		return fmt.Errorf("keeping %s: %w", name, err)
	}
	return nil
}
