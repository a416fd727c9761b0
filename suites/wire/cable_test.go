package wire

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"slices"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// listening is a station that says what came.
type listening chan []byte

func (listening) Takes(*Packet) bool     { return true }
func (l listening) Receive(frame []byte) { l <- frame }

type saved struct {
	events []Event
	err    error
}

func (s *saved) Save(e *Event) error {
	s.events = append(s.events, *e)
	return s.err
}

func newCable(t *testing.T, c Config) (*Cable, net.Conn, listening) {
	t.Helper()
	cable, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cable.Close() })
	guest, host := net.Pipe()
	t.Cleanup(func() { guest.Close() })
	station := make(listening, 100)
	if err := errors.Join(cable.NIC(0).Join(station), cable.NIC(0).Plug(host)); err != nil {
		t.Fatal(err)
	}
	return cable, guest, station
}

func TestCable(t *testing.T) {
	sink := &saved{}
	second := Match{Dir: FromGuest, Skip: 1, Limit: 1}
	c, guest, station := newCable(t, Config{
		Trace: TraceOptions{Snap: 60, Sink: sink},
		Rules: []Rule{
			{Name: "late", Match: second, Do: Action{Delay: &Delay{Fixed: 5 * Millisecond}}},
			{Name: "never", Match: Match{Dir: FromGuest, Skip: 3}, Do: Action{Hold: &Hold{Frames: 100, Limit: 60 * Second}}},
		},
	})
	var all []byte
	for i := range 4 {
		all = AppendFrame(all, segment(FromGuest, 1, Seq(i), ACK, 100))
	}
	if _, err := guest.Write(AppendFrame(all, nil)); err != nil {
		t.Fatal(err)
	}
	var got []Seq
	for range 3 {
		var p Packet
		p.Decode(<-station)
		got = append(got, p.TCP.Seq)
	}
	if !slices.Equal(got, []Seq{0, 2, 1}) {
		t.Errorf("came as %v", got)
	}
	if err := c.SetRules([]Rule{{Name: "wall", Do: Action{Drop: true}}}); err != nil {
		t.Fatal(err)
	}
	c.NIC(0).Send(segment(ToGuest, 1, 1, ACK, 0))
	if err := c.SetRules(nil); err != nil {
		t.Fatal(err)
	}
	reply := segment(ToGuest, 1, 2, ACK, 0)
	c.NIC(0).Send(reply)
	frames, err := NewReader(guest).Next(nil)
	if err != nil || len(frames) != 1 || !bytes.Equal(frames[0], reply) {
		t.Fatalf("%x, %v", frames, err)
	}
	if n := c.Trace().Events[3].Held; n != 1 {
		t.Errorf("what is held says %d", n)
	}
	trace, err := c.Close()
	if err != nil || trace.Frames != 6 || trace.Left != 0 || trace.Unsaved != 0 || c.NIC(0).Empty() != 1 {
		t.Fatalf("%+v, %v, %d empty", trace, err, c.NIC(0).Empty())
	}
	e := trace.Events
	if d := e[1].Passed[0].At - e[1].At; d < 5*time.Millisecond || e[1].Rules[0] != "late" {
		t.Errorf("delayed by %v, %v", d, e[1].Rules)
	}
	if !e[3].Dropped() || !slices.Equal(e[3].Rules, []string{"never", OwnShutdown}) || e[3].Held != 0 {
		t.Errorf("held at the end: %+v", e[3])
	}
	if !e[4].Dropped() || e[4].Rules[0] != "wall" || e[5].Dropped() || e[5].Dir != ToGuest {
		t.Errorf("%+v %+v", e[4], e[5])
	}
	if len(e[0].Frame) != 60 || e[0].Length != 154 {
		t.Errorf("%d of %d bytes kept", len(e[0].Frame), e[0].Length)
	}
	slices.SortFunc(sink.events, func(a, b Event) int { return int(a.N - b.N) })
	if a, b := fmt.Sprint(sink.events), fmt.Sprint(e); a != b {
		t.Errorf("the sink got\n%s, the trace is\n%s", a, b)
	}
	if _, err := c.Close(); err != nil {
		t.Error(err)
	}
	c.NIC(0).Send(reply) // changes nothing
	if err := c.NIC(1).Join(station); !errors.Is(err, net.ErrClosed) {
		t.Error(err)
	}
}

func TestCableEnds(t *testing.T) {
	for name, tt := range map[string]struct {
		bytes []byte
		want  error
	}{
		"well":             {AppendFrame(nil, make([]byte, 60)), nil},
		"within a frame":   {[]byte{0, 0, 0, 60, 1, 2}, ErrFraming},
		"with nonsense":    {[]byte{0xff, 0, 0, 0}, ErrFraming},
		"within a length":  {[]byte{0}, ErrFraming},
		"without anything": {nil, nil},
	} {
		t.Run(name, func(t *testing.T) {
			c, guest, _ := newCable(t, Config{})
			guest.Write(tt.bytes)
			guest.Close()
			<-c.NIC(0).Gone()
			c.NIC(0).Send(make([]byte, 60))
			trace, err := c.Close()
			if !errors.Is(err, tt.want) || tt.want == nil && err != nil {
				t.Error(err)
			}
			if last := trace.Events[len(trace.Events)-1]; !last.Dropped() || last.Rules[0] != OwnNobody {
				t.Errorf("to a guest that is gone: %+v", last)
			}
		})
	}
}

func TestTraceIsBounded(t *testing.T) {
	broken := errors.New("disk full")
	sink := &saved{err: broken}
	c, guest, station := newCable(t, Config{Trace: TraceOptions{Bytes: 10 * (eventCost + 60), Sink: sink}})
	for range 15 {
		if _, err := guest.Write(AppendFrame(nil, make([]byte, 60))); err != nil {
			t.Fatal(err)
		}
		<-station
	}
	trace, err := c.Close()
	if len(trace.Events) != 10 || trace.Left != 5 || trace.Frames != 15 || trace.Unsaved != 15 || !errors.Is(err, broken) {
		t.Errorf("%d events, %d left, %d unsaved of %d, %v", len(trace.Events), trace.Left, trace.Unsaved, trace.Frames, err)
	}
}

// TestSlowGuest sends more than a guest that reads nothing may leave unread.
func TestSlowGuest(t *testing.T) {
	c, _, _ := newCable(t, Config{Trace: TraceOptions{Snap: 1}})
	frame := make([]byte, 60_000)
	for range 2 * maxQueue / len(frame) {
		c.NIC(0).Send(frame)
	}
	trace, err := c.Close()
	slow := 0
	for _, e := range trace.Events {
		if e.Dropped() && e.Rules[0] == OwnSlow {
			slow++
		}
	}
	if err != nil || slow == 0 || slow == len(trace.Events) {
		t.Errorf("%d of %d dropped, %v", slow, len(trace.Events), err)
	}
}

func TestHeldIsBounded(t *testing.T) {
	c, guest, _ := newCable(t, Config{Held: 1000, Rules: []Rule{{Do: Action{Delay: &Delay{Fixed: Second}}}}})
	for range 20 {
		if _, err := guest.Write(AppendFrame(nil, make([]byte, 100))); err != nil {
			t.Fatal(err)
		}
	}
	for len(c.Trace().Events) < 20 {
		select {
		case <-t.Context().Done():
			return
		case <-time.After(time.Millisecond):
		}
	}
	crowded := 0
	trace, _ := c.Close()
	for _, e := range trace.Events {
		if slices.Contains(e.Rules, OwnCrowded) {
			crowded++
		}
	}
	if crowded != 10 {
		t.Errorf("%d of 20 frames were too much for 1000 bytes", crowded)
	}
}

// TestAppend writes packets and reads them again.
func TestAppend(t *testing.T) {
	for _, stream := range []int{1, 2} {
		var p, q Packet
		p.Decode(segment(ToGuest, stream, 77, ACK|PSH, 33))
		p.TCP.Urgent, p.TCP.Window, p.TOS = 5, 9, 0xb8
		p.TCP.Options = Options{MSS: 1460, SACKPermitted: true, HasTime: true, TSVal: 1, TSEcr: 2, HasScale: true, Scale: 7}
		p.TCP.Options.SetSACK(Block{1, 2}, Block{3, 4})
		q.Decode(p.Append(nil))
		o := q.TCP.Options
		if q.Malformed != "" || !q.TCP.ChecksumOK || !q.HeaderSumOK || q.TOS != 0xb8 || q.TCP.Urgent != 5 || q.TCP.Window != 9 || !bytes.Equal(q.TCP.Payload, p.TCP.Payload) {
			t.Errorf("%+v", q)
		}
		// There is room for one block beside all the rest.
		if o.MSS != 1460 || !o.SACKPermitted || o.TSVal != 1 || o.TSEcr != 2 || !o.HasScale || o.Scale != 7 || len(o.SACK()) != 1 || o.SACK()[0] != (Block{1, 2}) {
			t.Errorf("%+v", o)
		}
	}
}
