package peer

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/netip"
	"runtime"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/headwatch/headwatch/suites/wire"
)

func within(t *testing.T, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

// TestDial lets the script open connections to a stack in the guest's place, over
// both kinds of IP, and talk in segments of its own making.
func TestDial(t *testing.T) {
	for network, to := range map[string]netip.Addr{"tcp4": Of(0, GuestHost).V4.Addr(), "tcp6": Of(0, GuestHost).V6.Addr()} {
		t.Run(network, func(t *testing.T) {
			ctx := within(t, 20*time.Second)
			s := newSetup(t, StackOptions{})
			l, err := s.guest.Listen(network, 7)
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			script, err := NewScript(s.nic, ScriptOptions{})
			if err != nil {
				t.Fatal(err)
			}
			defer script.Close()
			c, err := script.Dial(ctx, 4000, netip.AddrPortFrom(to, 7), ConnOptions{ISN: 4294967290, Scale: -1})
			if err != nil {
				t.Fatal(err)
			}
			guest, err := l.Accept()
			if err != nil {
				t.Fatal(err)
			}
			defer guest.Close()
			// The second half comes first; then all of it again, which asks for an answer.
			first, second := []byte("across the "), []byte("wrap")
			c.Send(wire.Segment{Flags: wire.ACK, Seq: c.State().Next + wire.Seq(len(first)), Payload: second})
			p, err := c.Expect(ctx, func(p *wire.Packet) bool { return len(p.TCP.Options.SACK()) > 0 })
			if err != nil {
				t.Fatal(err)
			}
			if b := p.TCP.Options.SACK()[0]; b.End.From(b.Start) != len(second) || b.Start.From(c.State().Next) != len(first) {
				t.Errorf("SACK %v", b)
			}
			c.Write(append(first, second...))
			got := make([]byte, 15)
			if _, err := io.ReadFull(guest, got); err != nil || string(got) != "across the wrap" {
				t.Errorf("%q, %v", got, err)
			}
			if _, err := c.Expect(ctx, func(p *wire.Packet) bool { return p.TCP.Ack == c.next }); err != nil {
				t.Error(err)
			}
			if err := c.Again(wire.Range{From: 0, To: 11}); err != nil {
				t.Error(err)
			}
			if err := c.Again(wire.Range{From: 0, To: 99}); err == nil {
				t.Error("sent again what was never sent")
			}
			c.CloseWrite()
			if _, err := guest.Read(got); err != io.EOF {
				t.Error(err)
			}
			if st := c.State(); st.Una.From(st.ISS) < 16 || st.RST {
				t.Errorf("%+v", st)
			}
			// Nobody listens there, and nobody is there.
			if _, err := script.Dial(ctx, 4001, netip.AddrPortFrom(to, 9), ConnOptions{}); err == nil {
				t.Error("a closed port took a connection")
			}
			short := within(t, 300*time.Millisecond)
			if _, err := script.Dial(short, 4002, netip.AddrPortFrom(to.Next(), 9), ConnOptions{}); !errors.Is(err, context.DeadlineExceeded) {
				t.Error(err)
			}
		})
	}
}

// TestPolicies has a stack send to a script, which acknowledges by policy.
func TestPolicies(t *testing.T) {
	const size, mss = 50 * 1000, 1000
	for name, tt := range map[string]struct {
		policy    Policy
		least     int // acknowledgements
		most      int
		stretched bool // they come late
	}{
		"each":        {Policy{}, size / mss, size/mss + 8, false},
		"each fourth": {Policy{Every: 4, Delay: 20 * wire.Millisecond}, size / mss / 4, size/mss*2/3 + 4, false},
		"delayed":     {Policy{Every: 1000, Delay: 20 * wire.Millisecond}, 2, 20, true},
	} {
		t.Run(name, func(t *testing.T) {
			ctx := within(t, 20*time.Second)
			s := newSetup(t, StackOptions{NoTimestamps: true})
			script, err := NewScript(s.nic, ScriptOptions{})
			if err != nil {
				t.Fatal(err)
			}
			defer script.Close()
			done, finished := make(chan error, 1), make(chan struct{})
			defer close(finished)
			go func() {
				c, err := s.guest.Dial(ctx, netip.AddrPortFrom(script.Address().V6.Addr(), 5000))
				if err == nil {
					_, err = c.Write(noise(size))
					defer c.Close()
				}
				done <- err
				<-finished // its FIN would be acknowledged at once
			}()
			c, err := script.Accept(ctx, 5000, ConnOptions{MSS: mss, Timestamps: true, Policy: tt.policy})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := c.Expect(ctx, func(*wire.Packet) bool { return len(c.received.have) == 1 && c.received.next() == size }); err != nil {
				t.Fatal(err)
			}
			if err := <-done; err != nil {
				t.Error(err)
			}
			end := c.State().RcvNext
			acks, longest, last := acknowledgements(s.cable.Trace())
			for ctx.Err() == nil && last != end {
				acks, longest, last = acknowledgements(s.cable.Trace())
			}
			if acks < tt.least || acks > tt.most || tt.stretched && longest < 20*time.Millisecond {
				t.Errorf("%d acknowledgements, the slowest after %v", acks, longest)
			}
			if st := c.State(); st.Stamps || !bytes.Equal(st.Received, noise(size)) {
				t.Errorf("time stamps %v, %d bytes", st.Stamps, len(st.Received))
			}
		})
	}
}

// acknowledgements counts those to the guest, with the longest wait for one and the
// latest number.
func acknowledgements(t *wire.Trace) (n int, longest time.Duration, latest wire.Seq) {
	var last time.Duration
	for _, e := range t.Events {
		var p wire.Packet
		p.Decode(e.Frame)
		if e.Dir == wire.ToGuest && p.IsTCP && p.TCP.Flags == wire.ACK {
			n++
			longest, latest = max(longest, e.At-last), p.TCP.Ack
		}
		if p.IsTCP {
			last = e.At
		}
	}
	return n, longest, latest
}

// TestShared puts a script at some ports of a stack's address.
func TestShared(t *testing.T) {
	ctx := within(t, 20*time.Second)
	s := newSetup(t, StackOptions{})
	self := Of(0, StackHost)
	script, err := NewScript(s.nic, ScriptOptions{Address: self, Ports: []uint16{5000}})
	if err != nil {
		t.Fatal(err)
	}
	defer script.Close()
	peer, err := NewStack(s.nic, StackOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer peer.Close()
	carry(t, ctx, s.guest, peer, "tcp4", 10<<10)
	carry(t, ctx, s.guest, peer, "tcp6", 10<<10)
	dialled := make(chan error, 1)
	go func() {
		c, err := s.guest.Dial(ctx, netip.AddrPortFrom(self.V4.Addr(), 5000))
		if err == nil {
			c.Close()
		}
		dialled <- err
	}()
	_, err = script.Accept(ctx, 5000, ConnOptions{})
	if err := errors.Join(err, <-dialled); err != nil {
		t.Error(err)
	}
}

// TestEcho pings the scripted peer and finds it by Neighbour Discovery and ARP, as a
// guest does.
func TestEcho(t *testing.T) {
	ctx := within(t, 20*time.Second)
	c, err := wire.New(wire.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	// One script is the guest: what it sends to its peer crosses two cables.
	guestEnd, hostEnd := pair(t)
	inside, err := wire.New(wire.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer inside.Close()
	guest, err := NewScript(inside.NIC(0), ScriptOptions{Address: Of(0, GuestHost)})
	if err != nil {
		t.Fatal(err)
	}
	defer guest.Close()
	script, err := NewScript(c.NIC(0), ScriptOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer script.Close()
	if err := errors.Join(c.NIC(0).Plug(hostEnd), inside.NIC(0).Plug(guestEnd)); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		to           netip.Addr
		proto        uint8
		ask, replied byte
	}{{script.Address().V4.Addr(), wire.ProtoICMP, echoRequest4, echoReply4}, {script.Address().V6.Addr(), wire.ProtoICMPv6, echoRequest6, echoReply6}} {
		mac, err := guest.host.resolve(ctx, tt.to)
		if err != nil || mac != script.Address().MAC {
			t.Fatal(mac, err)
		}
		self := guest.Address()
		guest.SendFrame(icmpFrame(wire.Packet{EtherSrc: self.MAC, EtherDst: mac, Src: self.of(tt.to), Dst: tt.to}, tt.proto, []byte{tt.ask, 0, 0, 0, 1, 2, 3, 4, 5}))
		p, err := guest.Expect(ctx, nil)
		if err != nil || p.Src != tt.to || p.Payload[0] != tt.replied || string(p.Payload[4:]) != "\x01\x02\x03\x04\x05" {
			t.Errorf("%s, %v", Line(&p), err)
		}
	}
}

// TestTwoGuests joins two stacks in guests' places.
func TestTwoGuests(t *testing.T) {
	ctx := within(t, 20*time.Second)
	c, err := wire.New(wire.Config{Rules: wire.Path(50_000_000, 4*wire.Millisecond, 0)})
	if err != nil {
		t.Fatal(err)
	}
	one, two := c.NIC(0), c.NIC(1)
	if err := wire.Connect(one, two); err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	a := plug(t, one, StackOptions{})
	// The second guest is on the first one's network.
	guestEnd, hostEnd := pair(t)
	inside, err := wire.New(wire.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer inside.Close()
	b, err := NewStack(inside.NIC(0), StackOptions{Address: Of(0, 9)})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if err := errors.Join(two.Plug(hostEnd), inside.NIC(0).Plug(guestEnd)); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	carry(t, ctx, a, b, "tcp4", 200<<10)
	if took := time.Since(start); took < 32*time.Millisecond { // 200 KiB take that at 50 Mbit/s
		t.Errorf("200 KiB in %v", took)
	}
	trace, err := c.Close()
	if err != nil {
		t.Error(err)
	}
	var left, entered [2]int // the one NIC, and the other
	for _, e := range trace.Events {
		if e.Dir == wire.FromGuest {
			left[e.NIC] += len(e.Passed)
		} else {
			entered[1-e.NIC]++
		}
		if slices.Contains(e.Rules, wire.OwnSlow) {
			t.Errorf("event %d was dropped though nobody was slow", e.N)
		}
	}
	for i := range left {
		if entered[i] < 100 || entered[i] > left[i] || left[i]-entered[i] > 10 { // at most what was under way when it ended
			t.Errorf("%d frames left NIC %d, %d entered the other", left[i], i, entered[i])
		}
	}
}

// TestContent compares with a map of bytes.
func TestContent(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var c content
		var there [100]bool
		for range rapid.IntRange(1, 30).Draw(t, "n") {
			at := rapid.IntRange(-5, 95).Draw(t, "at")
			n := rapid.IntRange(0, min(20, 100-at)).Draw(t, "len")
			b := make([]byte, n)
			all := true
			for i := range b {
				b[i] = byte(at + i)
				if at+i >= 0 {
					all = all && there[at+i]
					there[at+i] = true
				}
			}
			duplicate, changed := c.add(int64(at), b)
			if duplicate != all || changed {
				t.Fatalf("[%d, +%d): duplicate %v, want %v, changed %v", at, n, duplicate, all, changed)
			}
		}
		next := int64(0)
		for next < 100 && there[next] {
			next++
		}
		if c.next() != next {
			t.Fatalf("next is %d, want %d; %v", c.next(), next, c.have)
		}
		for i, is := range there {
			in := false
			for _, r := range c.have {
				in = in || r.From <= int64(i) && int64(i) < r.To
			}
			if in != is || is && c.data[i] != byte(i) {
				t.Fatalf("byte %d: there %v, want %v", i, in, is)
			}
		}
	})
	var c content
	c.add(0, []byte("abc"))
	if _, changed := c.add(1, []byte("x")); !changed {
		t.Error("a changed byte was not noticed")
	}
}

// TestDiscard expects a segment that has come before: what is given is its second
// coming.
func TestDiscard(t *testing.T) {
	ctx := within(t, 20*time.Second)
	s := newSetup(t, StackOptions{})
	script, err := NewScript(s.nic, ScriptOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer script.Close()
	done := make(chan error, 1)
	defer func() {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}()
	go func() {
		c, err := s.guest.Dial(ctx, netip.AddrPortFrom(script.Address().V4.Addr(), 5000))
		if err == nil {
			defer c.Close()
			_, err = c.Write([]byte("twice"))
		}
		done <- err
	}()
	c, err := script.Accept(ctx, 5000, ConnOptions{Policy: Policy{Never: true}})
	if err != nil {
		t.Fatal(err)
	}
	for ctx.Err() == nil && string(c.State().Received) != "twice" {
		runtime.Gosched()
	}
	c.Discard()
	before := carried(s.cable.Trace(), "twice")
	if _, err := c.Expect(ctx, func(p *wire.Packet) bool { return string(p.TCP.Payload) == "twice" }); err != nil {
		t.Fatal(err)
	}
	if after := carried(s.cable.Trace(), "twice"); before < 1 || after <= before {
		t.Errorf("came %d times before, %d after", before, after)
	}
}

// carried counts the guest's segments with that payload.
func carried(t *wire.Trace, payload string) (n int) {
	for _, e := range t.Events {
		var p wire.Packet
		p.Decode(e.Frame)
		if e.Dir == wire.FromGuest && p.IsTCP && string(p.TCP.Payload) == payload {
			n++
		}
	}
	return n
}
