// Package capture saves what crossed a cable as pcapng files, and reads them back.
//
// A NIC is two interfaces in the file, "nic0-guest" and "nic0-peer", so that one can
// look at either end: what left the guest and when, and what reached it and when. A
// frame is on its sender's side as it was sent, with a comment that names the event,
// the rules that hit it, and whether it was dropped; and for each copy that passed it
// is on the receiver's side, as that got it. Directions are those of each side's
// own host. Times are in nanoseconds.
package capture

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/headwatch/headwatch/suites/wire"
)

// Blocks and options of pcapng (draft-ietf-opsawg-pcapng).
const (
	blockSection   = 0x0a0d0d0a
	blockInterface = 1
	blockPacket    = 6
	byteOrder      = 0x1a2b3c4d
	linkEthernet   = 1

	optEnd        = 0
	optComment    = 1
	optIfName     = 2 // of an interface
	optFlags      = 2 // of a packet
	optResolution = 9 // of an interface

	inbound, outbound = 1, 2
)

const startMark = "a wire of headwatch, since "

// Writer writes one section. It is a wire.Sink, and buffers: Close flushes.
type Writer struct {
	out    *bufio.Writer
	start  time.Time
	ids    map[iface]uint32
	block  []byte
	text   []byte // of the comment at hand
	err    error
	Frames int64 // written, those of both sides
}

type iface struct {
	nic   int
	guest bool
}

func (i iface) String() string {
	side := "peer"
	if i.guest {
		side = "guest"
	}
	return fmt.Sprintf("nic%d-%s", i.nic, side)
}

// NewWriter writes to w. start is what the events' times count from. The first error
// is given by every call after it.
func NewWriter(w io.Writer, start time.Time) *Writer {
	c := &Writer{out: bufio.NewWriterSize(w, 256<<10), start: start.Round(0), ids: map[iface]uint32{}}
	b := c.begin(blockSection)
	b = binary.LittleEndian.AppendUint32(b, byteOrder)
	b = append(b, 1, 0, 0, 0)                        // version 1.0
	b = binary.LittleEndian.AppendUint64(b, 1<<64-1) // length of the section: unknown
	b = option(b, optComment, startMark+start.UTC().Format(time.RFC3339Nano))
	c.end(option(b, optEnd, ""))
	return c
}

// begin begins a block; its length is filled in by end.
func (c *Writer) begin(kind uint32) []byte {
	return append(binary.LittleEndian.AppendUint32(c.block[:0], kind), 0, 0, 0, 0)
}

func (c *Writer) end(b []byte) {
	n := uint32(len(b) + 4)
	binary.LittleEndian.PutUint32(b[4:], n)
	c.block = binary.LittleEndian.AppendUint32(b, n)
	if c.err == nil {
		_, c.err = c.out.Write(c.block)
	}
}

func option[T string | []byte](b []byte, code uint16, value T) []byte {
	b = binary.LittleEndian.AppendUint16(b, code)
	b = binary.LittleEndian.AppendUint16(b, uint16(len(value)))
	return pad(append(b, value...))
}

func pad(b []byte) []byte {
	for len(b)%4 != 0 {
		b = append(b, 0)
	}
	return b
}

// id gives the number of an interface, and describes it before its first use.
func (c *Writer) id(i iface) uint32 {
	id, ok := c.ids[i]
	if !ok {
		id = uint32(len(c.ids))
		c.ids[i] = id
		b := append(c.begin(blockInterface), linkEthernet, 0, 0, 0)
		b = binary.LittleEndian.AppendUint32(b, 0) // no snap length
		b = option(b, optIfName, i.String())
		b = option(b, optResolution, "\x09") // nanoseconds
		c.end(option(b, optEnd, ""))
	}
	return id
}

// Save writes an event.
func (c *Writer) Save(e *wire.Event) error {
	fromGuest := e.Dir == wire.FromGuest
	c.text = comment(c.text[:0], e)
	c.packet(iface{e.NIC, fromGuest}, outbound, e.At, e.Frame, e.Length)
	for _, p := range e.Passed {
		length := e.Length
		c.text = strconv.AppendInt(append(c.text[:0], "copy of "...), e.N, 10)
		if p.Frame != nil {
			c.text, length = append(c.text, "; changed"...), len(p.Frame)
		}
		c.packet(iface{e.NIC, !fromGuest}, inbound, p.At, e.As(p), length)
	}
	return c.err
}

func comment(b []byte, e *wire.Event) []byte {
	b = strconv.AppendInt(append(b, "event "...), e.N, 10)
	if e.Stream > 0 {
		b = strconv.AppendInt(append(b, "; stream "...), int64(e.Stream), 10)
	}
	if e.Dropped() {
		b = append(b, "; dropped"...)
	}
	for i, r := range e.Rules {
		separator := ", "
		if i == 0 {
			separator = "; rules: "
		}
		b = append(append(b, separator...), r...)
	}
	return b
}

func (c *Writer) packet(i iface, direction byte, at time.Duration, frame []byte, length int) {
	id := c.id(i)
	ns := uint64(c.start.UnixNano() + int64(at))
	b := c.begin(blockPacket)
	b = binary.LittleEndian.AppendUint32(b, id)
	b = binary.LittleEndian.AppendUint32(b, uint32(ns>>32))
	b = binary.LittleEndian.AppendUint32(b, uint32(ns))
	b = binary.LittleEndian.AppendUint32(b, uint32(len(frame)))
	b = binary.LittleEndian.AppendUint32(b, uint32(max(length, len(frame))))
	b = pad(append(b, frame...))
	b = append(b, optFlags, 0, 4, 0, direction, 0, 0, 0)
	b = option(b, optComment, c.text)
	c.end(option(b, optEnd, ""))
	c.Frames++
}

// Close writes what is buffered. It closes nothing else.
func (c *Writer) Close() error {
	if err := c.out.Flush(); c.err == nil {
		c.err = err
	}
	return c.err
}

// Write saves a whole trace.
func Write(w io.Writer, t *wire.Trace) error {
	c := NewWriter(w, t.Start)
	for i := range t.Events {
		if err := c.Save(&t.Events[i]); err != nil {
			return err
		}
	}
	return c.Close()
}
