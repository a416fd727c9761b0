package wire

import (
	"net/netip"
	"testing"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
)

// TestDecode reads what another implementation has written.
func TestDecode(t *testing.T) {
	tcp := &layers.TCP{
		SrcPort: 40000, DstPort: 80, Seq: 4294967290, Ack: 77, ACK: true, PSH: true, Window: 501,
		Options: []layers.TCPOption{
			{OptionType: layers.TCPOptionKindNop}, {OptionType: layers.TCPOptionKindNop},
			{OptionType: layers.TCPOptionKindTimestamps, OptionLength: 10, OptionData: []byte{0, 0, 0, 9, 0, 0, 0, 8}},
			{OptionType: layers.TCPOptionKindSACK, OptionLength: 10, OptionData: []byte{0, 0, 0, 100, 0, 0, 0, 200}},
		},
	}
	payload := gopacket.Payload("twelve bytes")
	for name, ip := range map[string]gopacket.SerializableLayer{
		"IPv4": &layers.IPv4{Version: 4, TTL: 64, Protocol: layers.IPProtocolTCP, SrcIP: []byte{10, 0, 0, 2}, DstIP: []byte{10, 0, 0, 1}},
		"IPv6": &layers.IPv6{Version: 6, HopLimit: 64, NextHeader: layers.IPProtocolTCP,
			SrcIP: netip.MustParseAddr("fd00::2").AsSlice(), DstIP: netip.MustParseAddr("fd00::1").AsSlice()},
	} {
		t.Run(name, func(t *testing.T) {
			kind := layers.EthernetTypeIPv4
			if name == "IPv6" {
				kind = layers.EthernetTypeIPv6
			}
			tcp.SetNetworkLayerForChecksum(ip.(gopacket.NetworkLayer))
			buf := gopacket.NewSerializeBuffer()
			err := gopacket.SerializeLayers(buf, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true},
				&layers.Ethernet{SrcMAC: []byte{2, 0, 0, 0, 0, 2}, DstMAC: []byte{2, 0, 0, 0, 0, 1}, EthernetType: kind}, ip, tcp, payload)
			if err != nil {
				t.Fatal(err)
			}
			frame := append(buf.Bytes(), 0, 0, 0) // padding, as short frames have it
			var p Packet
			p.Decode(frame)
			s := &p.TCP
			if p.Malformed != "" || !p.IsTCP || !p.HeaderSumOK || !s.ChecksumOK || p.TTL != 64 {
				t.Fatalf("%+v", p)
			}
			if s.Seq != 4294967290 || s.End() != 6 || s.End().From(s.Seq) != 12 || !s.Seq.Less(s.End()) || s.Ack != 77 || s.Flags != ACK|PSH || string(s.Payload) != "twelve bytes" {
				t.Errorf("%+v", s)
			}
			if o := &s.Options; o.TSVal != 9 || o.TSEcr != 8 || len(o.SACK()) != 1 || o.SACK()[0] != (Block{100, 200}) {
				t.Errorf("%+v", o)
			}
			if flow := p.Flow(FromGuest); flow.Guest.Port() != 40000 || flow != (&p).Flow(FromGuest) || p.Flow(ToGuest).Peer != flow.Guest {
				t.Errorf("%+v", flow)
			}
			frame[len(frame)-5] ^= 0x40
			if p.Decode(frame); !p.IsTCP || s.ChecksumOK {
				t.Error("a flipped bit was not noticed")
			}
		})
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(make([]byte, 60))
	f.Fuzz(func(t *testing.T, frame []byte) {
		var p Packet
		p.Decode(frame)
		if p.IsTCP && p.Malformed == "" && p.TCP.Len() > len(frame)+2 {
			t.Errorf("%d bytes of sequence space in %d", p.TCP.Len(), len(frame))
		}
	})
}
