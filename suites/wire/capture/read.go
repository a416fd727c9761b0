package capture

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/headwatch/headwatch/suites/wire"
)

// ErrCapture is wrapped by the error of a file that is no capture of ours.
var ErrCapture = errors.New("not a capture of a wire")

// maxBlock bounds a block: a frame, its comment and the rest.
const maxBlock = wire.MaxFrame + 64<<10

// Read gives the events of a capture that a Writer wrote, in the order in which they
// came. Of a file that ends early it gives what is whole, and io.ErrUnexpectedEOF.
func Read(r io.Reader) (*wire.Trace, error) {
	f := &file{in: bufio.NewReaderSize(r, 256<<10), events: map[int64]*wire.Event{}}
	var err error
	for err == nil {
		err = f.next()
	}
	if err == io.EOF {
		err = nil
	}
	if err != nil {
		err = fmt.Errorf("byte %d of a capture: %w", f.at, err)
	}
	t := &wire.Trace{Start: f.start}
	for _, e := range f.events {
		t.Events = append(t.Events, *e)
		t.Frames = max(t.Frames, e.N+1)
	}
	slices.SortFunc(t.Events, func(a, b wire.Event) int { return int(a.N - b.N) })
	t.Left = t.Frames - int64(len(t.Events))
	return t, err
}

type file struct {
	in     *bufio.Reader
	at     int64
	start  time.Time
	ifaces []iface
	events map[int64]*wire.Event
}

// next reads a block.
func (f *file) next() error {
	var head [8]byte
	if _, err := io.ReadFull(f.in, head[:]); err != nil {
		return err
	}
	kind, size := binary.LittleEndian.Uint32(head[:]), binary.LittleEndian.Uint32(head[4:])
	if f.at == 0 && kind != blockSection || size < 12 || size > maxBlock || size%4 != 0 {
		return fmt.Errorf("%w: block %#x of %d bytes", ErrCapture, kind, size)
	}
	b := make([]byte, size-8)
	if _, err := io.ReadFull(f.in, b); err != nil {
		return io.ErrUnexpectedEOF
	}
	b = b[:len(b)-4]
	var err error
	switch kind {
	case blockSection:
		err = f.section(b)
	case blockInterface:
		err = f.iface(b)
	case blockPacket:
		err = f.packet(b)
	}
	f.at += int64(size)
	return err
}

// options gives them by their codes; of several with one code the last.
func options(b []byte) map[uint16]string {
	all := map[uint16]string{}
	for len(b) >= 4 {
		code, n := binary.LittleEndian.Uint16(b), int(binary.LittleEndian.Uint16(b[2:]))
		if code == optEnd || n > len(b)-4 {
			break
		}
		all[code] = string(b[4 : 4+n])
		b = b[min(len(b), 4+(n+3)&^3):]
	}
	return all
}

func (f *file) section(b []byte) error {
	if len(b) < 16 || binary.LittleEndian.Uint32(b) != byteOrder {
		return fmt.Errorf("%w: another byte order", ErrCapture)
	}
	text, ours := strings.CutPrefix(options(b[16:])[optComment], startMark)
	start, err := time.Parse(time.RFC3339Nano, text)
	if !ours || err != nil {
		return fmt.Errorf("%w: its section does not say so", ErrCapture)
	}
	f.start = start
	return nil
}

func (f *file) iface(b []byte) error {
	if len(b) < 8 {
		return fmt.Errorf("%w: a short interface", ErrCapture)
	}
	var i iface
	name := options(b[8:])[optIfName]
	number, side, _ := strings.Cut(strings.TrimPrefix(name, "nic"), "-")
	n, err := strconv.Atoi(number)
	if i.nic, i.guest = n, side == "guest"; err != nil || i.String() != name {
		return fmt.Errorf("%w: interface %q", ErrCapture, name)
	}
	f.ifaces = append(f.ifaces, i)
	return nil
}

func (f *file) packet(b []byte) error {
	if len(b) < 20 {
		return fmt.Errorf("%w: a short packet", ErrCapture)
	}
	id, n := binary.LittleEndian.Uint32(b), int(binary.LittleEndian.Uint32(b[12:]))
	if int64(id) >= int64(len(f.ifaces)) || n < 0 || n > len(b)-20 {
		return fmt.Errorf("%w: packet of %d bytes at interface %d", ErrCapture, n, id)
	}
	ns := uint64(binary.LittleEndian.Uint32(b[4:]))<<32 | uint64(binary.LittleEndian.Uint32(b[8:]))
	at := time.Duration(int64(ns) - f.start.UnixNano())
	frame := b[20 : 20+n : 20+n]
	words := strings.Split(options(b[min(len(b), 20+(n+3)&^3):])[optComment], "; ")
	number, isCopy := strings.CutPrefix(words[0], "copy of ")
	if !isCopy {
		number = strings.TrimPrefix(words[0], "event ")
	}
	which, err := strconv.ParseInt(number, 10, 64)
	if err != nil || which < 0 {
		return fmt.Errorf("%w: packet with the comment %.100q", ErrCapture, words[0])
	}
	if !isCopy {
		return f.event(which, f.ifaces[id], at, frame, int(binary.LittleEndian.Uint32(b[16:])), words[1:])
	}
	e := f.events[which]
	if e == nil {
		return fmt.Errorf("%w: a copy of event %d, which was not seen", ErrCapture, which)
	}
	p := wire.Passed{At: at}
	if slices.Contains(words, "changed") {
		p.Frame = frame
	}
	e.Passed = append(e.Passed, p)
	return nil
}

func (f *file) event(n int64, i iface, at time.Duration, frame []byte, length int, words []string) error {
	if f.events[n] != nil {
		return fmt.Errorf("%w: event %d for the second time", ErrCapture, n)
	}
	e := &wire.Event{N: n, NIC: i.nic, Dir: wire.ToGuest, At: at, Frame: frame, Length: length}
	if i.guest {
		e.Dir = wire.FromGuest
	}
	for _, w := range words {
		if rules, ok := strings.CutPrefix(w, "rules: "); ok {
			e.Rules = strings.Split(rules, ", ")
		}
		if s, ok := strings.CutPrefix(w, "stream "); ok {
			stream, err := strconv.Atoi(s)
			if err != nil {
				return fmt.Errorf("%w: %q", ErrCapture, w)
			}
			e.Stream = stream
		}
	}
	f.events[n] = e
	return nil
}
