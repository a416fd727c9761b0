package tcp

import (
	"context"
	"crypto/md5"
	"encoding/binary"
	"fmt"
	"net/netip"

	"github.com/headwatch/headwatch/suites"
	"github.com/headwatch/headwatch/suites/tcp/guest"
	"github.com/headwatch/headwatch/suites/wire"
)

const (
	protoUDP = 17
	udpHead  = 8
	tcpHead  = 20

	optMD5  = 19 // RFC 2385
	md5Size = 18 // of the option

	signKey = "headwatch"
)

// segment writes a segment without its checksum: what it is in UDP, and what is signed.
func segment(t wire.Segment) []byte {
	p := wire.Packet{EtherType: wire.EtherIPv4, Src: netip.IPv4Unspecified(), Dst: netip.IPv4Unspecified(), Proto: wire.ProtoTCP, IsTCP: true, TCP: t}
	b := p.Append(nil)[14+20:] // behind Ethernet and IPv4
	b[16], b[17] = 0, 0
	return b
}

// inUDP puts a segment into UDP (RFC 6951).
func inUDP(src, dst netip.Addr, from, to uint16, t wire.Segment) wire.Packet {
	inner := segment(t)
	b := make([]byte, udpHead, udpHead+len(inner))
	binary.BigEndian.PutUint16(b, from)
	binary.BigEndian.PutUint16(b[2:], to)
	binary.BigEndian.PutUint16(b[4:], uint16(udpHead+len(inner)))
	b = append(b, inner...)
	sum := wire.Checksum(wire.PseudoHeader(src, dst, protoUDP, len(b)), b)
	if sum == 0 {
		sum = 0xffff
	}
	binary.BigEndian.PutUint16(b[6:], sum)
	return wire.Packet{Src: src, Dst: dst, Proto: protoUDP, Payload: b}
}

// tunnelled is the head of a segment in UDP to a port: its numbers and flags.
func tunnelled(p *wire.Packet, to uint16) (t wire.Segment, ok bool) {
	b := p.Payload
	if p.Proto != protoUDP || len(b) < udpHead+tcpHead || binary.BigEndian.Uint16(b[2:]) != to {
		return t, false
	}
	b = b[udpHead:]
	return wire.Segment{SrcPort: binary.BigEndian.Uint16(b), DstPort: binary.BigEndian.Uint16(b[2:]),
		Seq: wire.Seq(binary.BigEndian.Uint32(b[4:])), Ack: wire.Seq(binary.BigEndian.Uint32(b[8:])), Flags: wire.Flags(b[13])}, true
}

// tunnel opens connections in UDP, and resets them: half of them when they stand.
func (r *rare) tunnel(ctx context.Context, count int) error {
	src, dst := r.bed.Family.Of(r.bed.Script.Address()), r.at.Addr()
	for i := range count {
		port := r.nextPort()
		send := func(t wire.Segment) error {
			t.SrcPort, t.DstPort, t.Window = port, r.at.Port(), 65535
			return r.bed.Script.Send(ctx, inUDP(src, dst, port, tunnelPort, t))
		}
		if err := send(wire.Segment{Flags: wire.SYN, Seq: closingISN, Options: wire.Options{MSS: 1400}}); err != nil {
			return err
		}
		var answer wire.Segment
		wait, cancel := context.WithTimeoutCause(ctx, stall, errStalled)
		_, err := r.bed.Script.Expect(wait, func(p *wire.Packet) (ok bool) {
			answer, ok = tunnelled(p, port)
			return ok
		})
		stalled := context.Cause(wait) == errStalled
		cancel()
		switch {
		case err != nil && stalled:
			return stallf("a SYN in UDP is not answered within %v", stall)
		case err != nil:
			return peers(ctx, "the guest answers a SYN in UDP", err)
		case !answer.Flags.Has(wire.SYN | wire.ACK):
			return suites.Failf("a SYN in UDP is answered with %v", answer.Flags)
		}
		reset := wire.RST // FreeBSD takes none with an ACK for a half-open connection
		if i%2 == 1 {
			reset |= wire.ACK
			if err := send(wire.Segment{Flags: wire.ACK, Seq: closingISN + 1, Ack: answer.Seq + 1}); err != nil {
				return err
			}
			if err := r.acceptAndClose(ctx); err != nil {
				return err
			}
		}
		if err := send(wire.Segment{Flags: reset, Seq: closingISN + 1, Ack: answer.Seq + 1}); err != nil {
			return err
		}
	}
	return nil
}

func (r *rare) acceptAndClose(ctx context.Context) error {
	var s guest.Socket
	if err := r.bed.T.Guest.Call(ctx, guest.OpAccept, guest.AcceptArgs{ID: r.listener.ID, TimeoutS: stall.Seconds()}, &s); err != nil {
		return within("accept", err)
	}
	if s.ID == 0 {
		return stallf("accept: nothing came of it in %.1f s %s", s.Duration, s.Errno)
	}
	return within("close", r.bed.T.Guest.Call(ctx, guest.OpClose, guest.CloseArgs{ID: s.ID, Abort: true}, nil))
}

// sign gives a segment a signature (RFC 2385, section 2.0): over the pseudo-header, the
// TCP header without options and checksum, the data, and the key.
func sign(src, dst netip.Addr, t wire.Segment, key string) wire.Segment {
	t.Options.Raw = append([]byte{optMD5, md5Size}, make([]byte, 16)...)
	copy(t.Options.Raw[2:], signature(src, dst, t, key))
	return t
}

func signature(src, dst netip.Addr, t wire.Segment, key string) []byte {
	b := segment(t)
	var head []byte
	head = append(append(head, src.AsSlice()...), dst.AsSlice()...)
	if src.Is4() {
		head = append(head, 0, wire.ProtoTCP)
		head = binary.BigEndian.AppendUint16(head, uint16(len(b)))
	} else {
		head = binary.BigEndian.AppendUint32(head, uint32(len(b)))
		head = append(head, 0, 0, 0, wire.ProtoTCP)
	}
	head = append(head, b[:tcpHead]...)
	head = append(head, t.Payload...)
	sum := md5.Sum(append(head, key...))
	return sum[:]
}

// signedBy says whether a segment has a signature, and the right one.
func signedBy(p *wire.Packet, key string) error {
	raw := p.TCP.Options.Raw
	for i := 0; i+1 < len(raw) && raw[i] != 0; {
		switch {
		case raw[i] == 1:
			i++
		case raw[i+1] < 2:
			return suites.Failf("an option of %d bytes", raw[i+1])
		case raw[i] == optMD5 && i+md5Size <= len(raw):
			if string(raw[i+2:i+md5Size]) != string(signature(p.Src, p.Dst, p.TCP, key)) {
				return suites.Failf("the guest's signature is wrong")
			}
			return nil
		default:
			i += int(raw[i+1])
		}
	}
	return suites.Failf("the guest does not sign what it was told to sign")
}

// listenSigned has the guest listen for segments of the script that are signed.
func (r *rare) listenSigned(ctx context.Context) (err error) {
	args := guest.ListenArgs{Network: r.bed.Family.Network(), Addr: netip.AddrPortFrom(r.bed.Family.Of(r.bed.Guest()), 0).String(), Backlog: 256,
		Options: map[string]string{"md5sig": r.bed.Family.Of(r.bed.Script.Address()).String() + " " + signKey}}
	if err := r.bed.T.Guest.Call(ctx, guest.OpListen, args, &r.listener); err != nil {
		return within("listen", err)
	}
	if r.at, err = netip.ParseAddrPort(r.listener.Local); err != nil {
		return fmt.Errorf("the agent listens at %q with %q", r.listener.Local, r.listener.Errno)
	}
	return nil
}

// signed opens connections whose segments are signed.
func (r *rare) signed(ctx context.Context, count int) error { return r.signing(ctx, count, signKey) }

// forged has each round begin with a SYN and end with an ACK that another key has signed.
func (r *rare) forged(ctx context.Context, count int) error { return r.signing(ctx, count, "another") }

func (r *rare) signing(ctx context.Context, count int, key string) error {
	return r.onOther(func() error {
		if err := r.listenSigned(ctx); err != nil {
			return err
		}
		src, dst := r.bed.Family.Of(r.bed.Script.Address()), r.at.Addr()
		for range count {
			port := r.nextPort()
			send := func(t wire.Segment, key string) error {
				t.SrcPort, t.DstPort, t.Window = port, r.at.Port(), 65535
				return r.bed.Script.Send(ctx, wire.Packet{Dst: dst, IsTCP: true, TCP: sign(src, dst, t, key)})
			}
			if key != signKey { // nothing comes of it: the next one is answered
				if err := send(wire.Segment{Flags: wire.SYN, Seq: closingISN - 7}, key); err != nil {
					return err
				}
			}
			if err := send(wire.Segment{Flags: wire.SYN, Seq: closingISN}, signKey); err != nil {
				return err
			}
			if err := r.signedRound(ctx, port, send, key); err != nil {
				return err
			}
		}
		return r.unlisten(ctx)
	})
}

// signedRound goes on from a SYN. Last, an ACK that key has signed, and a reset.
func (r *rare) signedRound(ctx context.Context, port uint16, send func(wire.Segment, string) error, key string) error {
	wait, cancel := context.WithTimeoutCause(ctx, stall, errStalled)
	defer cancel()
	p, err := r.bed.Script.Expect(wait, func(p *wire.Packet) bool { return p.IsTCP && p.TCP.DstPort == port })
	switch {
	case err != nil && context.Cause(wait) == errStalled:
		return stallf("a signed SYN is not answered within %v", stall)
	case err != nil:
		return peers(ctx, "the guest answers a signed SYN", err)
	case p.TCP.Ack != closingISN+1:
		return suites.Failf("a SYN with a wrong signature is answered")
	}
	if err := signedBy(&p, signKey); err != nil {
		return err
	}
	ack := wire.Segment{Flags: wire.ACK, Seq: closingISN + 1, Ack: p.TCP.Seq + 1}
	if err := send(ack, signKey); err != nil {
		return err
	}
	if key != signKey {
		data := ack
		data.Payload = []byte("nobody signed this")
		if err := send(data, key); err != nil {
			return err
		}
	}
	if err := r.acceptAndClose(ctx); err != nil {
		return err
	}
	return send(wire.Segment{Flags: wire.RST | wire.ACK, Seq: closingISN + 1, Ack: p.TCP.Seq + 1}, signKey)
}
