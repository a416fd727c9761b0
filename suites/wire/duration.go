package wire

import (
	"fmt"
	"strings"
	"time"
)

// Duration is a time.Duration that is text in JSON: "20ms".
type Duration time.Duration

// Units, so that rules in Go read like those in JSON: 20 * wire.Millisecond.
const (
	Microsecond = Duration(time.Microsecond)
	Millisecond = Duration(time.Millisecond)
	Second      = Duration(time.Second)
)

func (d Duration) String() string { return time.Duration(d).String() }

// MarshalText gives it in Go's notation.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText reads Go's notation.
func (d *Duration) UnmarshalText(b []byte) error {
	t, err := time.ParseDuration(string(b))
	if err != nil {
		return fmt.Errorf("duration %q: want a number and a unit, as in 20ms", b)
	}
	*d = Duration(t)
	return nil
}

// MarshalText gives them as String does.
func (f Flags) MarshalText() ([]byte, error) { return []byte(f.String()), nil }

// UnmarshalText reads names joined by "|".
func (f *Flags) UnmarshalText(b []byte) error {
	*f = 0
next:
	for _, name := range strings.FieldsFunc(string(b), func(r rune) bool { return r == '|' }) {
		for bit := range 8 {
			if (Flags(1) << bit).String() == name {
				*f |= 1 << bit
				continue next
			}
		}
		return fmt.Errorf("TCP flag %q: want FIN, SYN, RST, PSH, ACK, URG, ECE or CWR, joined by |", name)
	}
	return nil
}
