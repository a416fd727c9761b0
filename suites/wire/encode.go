package wire

import "encoding/binary"

// SetSACK gives the option up to four blocks.
func (o *Options) SetSACK(blocks ...Block) { o.sacks = copy(o.sack[:], blocks) }

// Append appends the frame that p describes, with right lengths and checksums, and
// is what Decode reads. A Segment of a packet that IsTCP is written in place of
// Payload, and its options in the order MSS, SACK permitted, time stamps, window
// scale, Fast Open, SACK, unless Raw has them. IPOptions are not written, nor is a
// fragment's place.
func (p *Packet) Append(b []byte) []byte {
	b = append(append(b, p.EtherDst[:]...), p.EtherSrc[:]...)
	b = binary.BigEndian.AppendUint16(b, p.EtherType)
	payload := p.Payload
	if p.IsTCP {
		payload = p.TCP.append(nil)
		binary.BigEndian.PutUint16(payload[16:], Checksum(PseudoHeader(p.Src, p.Dst, ProtoTCP, len(payload)), payload))
	}
	switch p.EtherType {
	case EtherIPv4:
		var h [20]byte
		h[0], h[1], h[8], h[9] = 0x45, p.TOS, p.ttl(), p.Proto
		binary.BigEndian.PutUint16(h[2:], uint16(20+len(payload)))
		binary.BigEndian.PutUint16(h[4:], p.ID)
		src, dst := p.Src.As4(), p.Dst.As4()
		copy(h[12:], src[:])
		copy(h[16:], dst[:])
		binary.BigEndian.PutUint16(h[10:], Checksum(0, h[:]))
		b = append(b, h[:]...)
	case EtherIPv6:
		src, dst := p.Src.As16(), p.Dst.As16()
		b = append(b, 0x60|p.TOS>>4, p.TOS<<4, 0, 0)
		b = binary.BigEndian.AppendUint16(b, uint16(len(payload)))
		b = append(append(append(b, p.Proto, p.ttl()), src[:]...), dst[:]...)
	}
	return append(b, payload...)
}

func (p *Packet) ttl() uint8 {
	if p.TTL == 0 {
		return 64
	}
	return p.TTL
}

// append appends the segment without its checksum.
func (s *Segment) append(b []byte) []byte {
	options := s.Options.Raw
	if options == nil {
		options = s.Options.encode()
	}
	for len(options)%4 != 0 {
		options = append(options[:len(options):len(options)], optEnd)
	}
	b = binary.BigEndian.AppendUint16(b, s.SrcPort)
	b = binary.BigEndian.AppendUint16(b, s.DstPort)
	b = binary.BigEndian.AppendUint32(b, uint32(s.Seq))
	b = binary.BigEndian.AppendUint32(b, uint32(s.Ack))
	b = append(b, byte((20+len(options))/4)<<4, byte(s.Flags))
	b = binary.BigEndian.AppendUint16(b, s.Window)
	b = append(b, 0, 0)
	b = binary.BigEndian.AppendUint16(b, s.Urgent)
	return append(append(b, options...), s.Payload...)
}

func (o *Options) encode() []byte {
	var b []byte
	if o.MSS > 0 {
		b = append(b, optMSS, 4, byte(o.MSS>>8), byte(o.MSS))
	}
	if o.SACKPermitted {
		b = append(b, optNop, optNop, optSACKPermitted, 2)
	}
	if o.HasTime {
		b = append(b, optNop, optNop, optTime, 10)
		b = binary.BigEndian.AppendUint32(b, o.TSVal)
		b = binary.BigEndian.AppendUint32(b, o.TSEcr)
	}
	if o.HasScale {
		b = append(b, optNop, optScale, 3, o.Scale)
	}
	if o.FastOpen != nil {
		b = append(append(b, optFastOpen, byte(2+len(o.FastOpen))), o.FastOpen...)
	}
	for len(b)%4 != 0 {
		b = append(b, optNop)
	}
	blocks := o.SACK()
	blocks = blocks[:min(len(blocks), max(0, (40-len(b)-4)/8))] // no more room in a header
	if len(blocks) > 0 {
		b = append(b, optNop, optNop, optSACK, byte(2+8*len(blocks)))
		for _, s := range blocks {
			b = binary.BigEndian.AppendUint32(b, uint32(s.Start))
			b = binary.BigEndian.AppendUint32(b, uint32(s.End))
		}
	}
	return b
}
