package wire

import (
	"fmt"
	"strings"
)

// String is the rule on one line.
func (r Rule) String() string {
	s := r.Do.String()
	if m := r.Match.String(); m != "" {
		s += " of " + m
	}
	if r.Last {
		s += "; no rule after it"
	}
	if r.Name == "" {
		return s
	}
	return r.Name + ": " + s
}

func (a Action) String() string {
	var all []string
	say := func(format string, args ...any) { all = append(all, fmt.Sprintf(format, args...)) }
	if a.Drop {
		say("drop")
	}
	if a.CE {
		say("mark as congestion experienced")
	}
	if a.Truncate > 0 {
		say("cut to %d bytes", a.Truncate)
	}
	if c := a.Corrupt; c != nil {
		sum := ""
		if c.FixSum {
			sum = ", with right checksums"
		}
		in := c.In
		if in == "" {
			in = "frame"
		}
		say("corrupt %d bits and %d bytes in the %s%s", c.Bits, c.Bytes, in, sum)
	}
	if d := a.Delay; d != nil {
		s := "delay by " + d.Fixed.String()
		if d.Jitter > 0 {
			shape := d.Shape
			if shape == "" {
				shape = "uniform"
			}
			s += fmt.Sprintf(" ± %v %s", d.Jitter, shape)
		}
		if d.InOrder {
			s += " in order"
		}
		say("%s", s)
	}
	if b := a.Bottleneck; b != nil {
		say("pass through %g Mbit/s and %v, with a queue of %d bytes", float64(b.Rate)/1e6, b.Delay, b.queue())
	}
	if h := a.Hold; h != nil {
		s := "hold"
		if h.Frames > 0 {
			s += fmt.Sprintf(" until %d more passed", h.Frames)
		}
		if h.Until != nil {
			s += fmt.Sprintf(" until there is a frame [%v]", *h.Until)
		}
		say("%s, for %v at most", s, h.Limit)
	}
	if d := a.Duplicate; d != nil {
		say("send %d more after %v each", d.Copies, d.Gap)
	}
	return strings.Join(all, ", ")
}

// String is empty for what matches everything.
func (m Match) String() string {
	var all []string
	say := func(is bool, format string, args ...any) {
		if is {
			all = append(all, fmt.Sprintf(format, args...))
		}
	}
	say(m.Proto != "", "%s", m.Proto)
	say(m.Proto == "" && m.ofTCP(), "tcp")
	say(m.Dir != 0, "%v", m.Dir)
	if m.NIC != nil {
		say(true, "of NIC %d", *m.NIC)
	}
	say(m.Port != 0, "port %d", m.Port)
	say(m.MinLength > 0, "of at least %d bytes", m.MinLength)
	say(m.MaxLength > 0, "of at most %d bytes", m.MaxLength)
	say(m.After > 0, "after %v", m.After)
	say(m.Before > 0, "before %v", m.Before)
	say(m.Stream > 0, "stream %d", m.Stream)
	say(m.Set != 0, "with %v", m.Set)
	say(m.Clear != 0, "without %v", m.Clear)
	say(m.Data, "with data")
	say(m.NoData, "without data")
	say(m.Bytes.To > 0, "bytes %d-%d", m.Bytes.From, m.Bytes.To)
	say(m.Bytes.To == 0 && m.Bytes.From > 0, "bytes from %d on", m.Bytes.From)
	say(len(m.Segment) > 0, "data segments %s", list(m.Segment))
	say(len(m.Transmissions) > 0, "transmissions %s", list(m.Transmissions))
	say(m.Skip > 0, "not the first %d", m.Skip)
	say(m.Every > 1, "each %d.", m.Every)
	say(m.Probability > 0, "with probability %g", m.Probability)
	say(m.Limit > 0, "at most %d times", m.Limit)
	return strings.Join(all, ", ")
}

func list(numbers []int) string {
	return strings.Trim(strings.ReplaceAll(fmt.Sprint(numbers), " ", ","), "[]")
}
