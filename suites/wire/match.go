package wire

import (
	"hash/fnv"
	"math/rand/v2"
	"slices"
	"time"
)

// seen is a frame as a rule sees it.
type seen struct {
	at    time.Duration
	nic   int
	dir   Direction
	frame []byte
	p     *Packet
	place *Place
}

// lane is a direction of a NIC.
type lane struct {
	nic int
	dir Direction
}

// matcher is a Match with its counts and its dice.
type matcher struct {
	Match
	seed  uint64
	lanes map[lane]*counts
	hits  int
}

type counts struct {
	asked int // times that all but the counting fields held
	dice  *rand.Rand
}

func newMatcher(m Match, seed uint64, name string) *matcher {
	h := fnv.New64a()
	h.Write([]byte(name))
	return &matcher{Match: m, seed: seed ^ h.Sum64(), lanes: map[lane]*counts{}}
}

// lane gives what belongs to the direction of s.
func (m *matcher) lane(s *seen) *counts {
	key := lane{s.nic, s.dir}
	c := m.lanes[key]
	if c == nil {
		c = &counts{dice: rand.New(rand.NewPCG(m.seed, uint64(s.nic)<<2|uint64(s.dir)))}
		m.lanes[key] = c
	}
	return c
}

// hit says whether the rule applies, and counts it.
func (m *matcher) hit(s *seen) bool {
	if !m.fits(s) || m.ofTCP() && !m.fitsTCP(s) {
		return false
	}
	if m.Limit > 0 && m.hits >= m.Limit {
		return false
	}
	if m.Skip > 0 || m.Every > 1 || m.Probability > 0 {
		c := m.lane(s)
		c.asked++
		n := c.asked - m.Skip
		if n <= 0 || m.Every > 1 && n%m.Every != 0 {
			return false
		}
		if m.Probability > 0 && c.dice.Float64() >= m.Probability {
			return false
		}
	}
	m.hits++
	return true
}

func (m *matcher) fits(s *seen) bool {
	return (m.Dir == 0 || m.Dir == s.dir) &&
		(m.NIC == nil || *m.NIC == s.nic) &&
		len(s.frame) >= m.MinLength && (m.MaxLength == 0 || len(s.frame) <= m.MaxLength) &&
		s.at >= time.Duration(m.After) && (m.Before == 0 || s.at < time.Duration(m.Before)) &&
		(m.Proto == "" || m.speaks(s.p))
}

func (m *matcher) speaks(p *Packet) bool {
	ip := p.Src.IsValid()
	switch m.Proto {
	case "arp":
		return p.EtherType == EtherARP
	case "ipv4":
		return p.EtherType == EtherIPv4
	case "ipv6":
		return p.EtherType == EtherIPv6
	case "icmp":
		return ip && p.Proto == ProtoICMP
	case "icmpv6":
		return ip && p.Proto == ProtoICMPv6
	case "tcp":
		return ip && p.Proto == ProtoTCP
	case "udp":
		return ip && p.Proto == ProtoUDP
	}
	return false
}

func (m *matcher) fitsTCP(s *seen) bool {
	if !s.p.IsTCP {
		return false
	}
	t, place := &s.p.TCP, s.place
	if m.Port != 0 && t.SrcPort != m.Port && t.DstPort != m.Port ||
		m.Stream != 0 && m.Stream != place.Stream ||
		t.Flags&m.Set != m.Set || t.Flags&m.Clear != 0 ||
		m.Data && len(t.Payload) == 0 || m.NoData && len(t.Payload) > 0 {
		return false
	}
	if r := m.Bytes; r != (Range{}) && (place.Data.To <= r.From || r.To > 0 && place.Data.From >= r.To || place.Data.To == 0) {
		return false
	}
	if len(m.Segment) > 0 && (place.Segment == 0 || !slices.Contains(m.Segment, place.Segment)) {
		return false
	}
	if len(m.Transmissions) > 0 {
		n := place.Transmissions(m.Bytes)
		return n > 0 && slices.Contains(m.Transmissions, n)
	}
	return true
}
