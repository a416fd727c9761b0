package guest

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// liar is a guest that follows a script after an honest handshake.
type liar struct {
	t    *testing.T
	conn net.Conn
	in   *frameReader
}

// lie starts a guest that runs script; it may return at any point.
func lie(t *testing.T, conn net.Conn, script func(*liar)) {
	l := &liar{t, conn, newFrameReader(conn)}
	done := make(chan struct{})
	t.Cleanup(func() { conn.Close(); <-done })
	go func() {
		defer close(done)
		f, err := l.in.next()
		if err != nil {
			return
		}
		var req helloRequest
		json.Unmarshal(f.payload, &req)
		h := testHello
		h.Protocol, h.Session = ProtocolVersion, req.Session
		l.say(typeHello, h)
		script(l)
	}()
}

func (l *liar) say(typ frameType, message any) bool {
	b, err := encodeMessage(typ, message)
	if err != nil {
		l.t.Error(err)
		return false
	}
	_, err = l.conn.Write(b)
	return err == nil
}

// hear returns the next request, skipping repeated hellos.
func (l *liar) hear() (request, bool) {
	for {
		f, err := l.in.next()
		if err != nil {
			return request{}, false
		}
		if f.typ == typeRequest {
			var r request
			json.Unmarshal(f.payload, &r)
			return r, true
		}
	}
}

func TestAnswersOutOfOrder(t *testing.T) {
	host, agent := socketPair(t)
	lie(t, agent, func(l *liar) {
		a, _ := l.hear()
		b, _ := l.hear()
		l.say(typeResponse, response{ID: b.ID, Result: b.Args})
		l.say(typeResponse, response{ID: a.ID, Result: a.Args})
	})
	c := connect(t, host, "s")
	results := make(chan [2]int, 2)
	for i := range 2 {
		go func() {
			got := -1
			if err := c.Call(context.Background(), "x", i, &got); err != nil {
				t.Error(err)
			}
			results <- [2]int{i, got}
		}()
	}
	for range 2 {
		if r := receive(t, results); r[0] != r[1] {
			t.Errorf("call %d got the answer of %d", r[0], r[1])
		}
	}
}

func TestUnknownAndDoubleAnswersAreCounted(t *testing.T) {
	host, agent := socketPair(t)
	lie(t, agent, func(l *liar) {
		r, _ := l.hear()
		l.say(typeResponse, response{ID: 0, Result: []byte("1")})
		l.say(typeResponse, response{ID: 1 << 60, Result: []byte("1")})
		l.say(typeResponse, response{ID: r.ID, Result: []byte("2")})
		l.say(typeResponse, response{ID: r.ID, Result: []byte("3")})
		l.say(typeHello, testHello)
		r, _ = l.hear()
		l.say(typeResponse, response{ID: r.ID, Result: []byte("4")})
	})
	c := connect(t, host, "s")
	for _, want := range []int{2, 4} {
		var got int
		if err := c.Call(t.Context(), "x", nil, &got); err != nil || got != want {
			t.Errorf("got %d, %v; want %d", got, err, want)
		}
	}
	if i := c.Ignored(); i != (Ignored{Unknown: 2, Late: 1, Stray: 1}) {
		t.Errorf("%+v", i)
	}
}

func TestLyingAgentEndsTheStream(t *testing.T) {
	for name, c := range map[string]struct {
		script func(*liar)
		want   error
	}{
		"garbage":            {func(l *liar) { l.conn.Write([]byte("panic: page fault")) }, ErrFrameMagic},
		"cut frame":          {func(l *liar) { l.conn.Write(magic[:]); l.conn.Close() }, ErrFrameTruncated},
		"silent end":         {func(l *liar) { l.conn.Close() }, ErrNoEndMarker},
		"unasked end marker": {func(l *liar) { l.say(typeBye, struct{}{}) }, ErrUnaskedEnd},
		"host's message":     {func(l *liar) { l.say(typeRequest, request{ID: 1}) }, ErrMessage},
		"no JSON":            {func(l *liar) { l.conn.Write(mustFrame(l.t, typeResponse, "{")) }, ErrMessage},
		"neither":            {func(l *liar) { l.say(typeResponse, response{ID: 1}) }, ErrMessage},
		"both": {func(l *liar) {
			l.say(typeResponse, response{ID: 1, Result: []byte("1"), Error: &wireError{Kind: "agent"}})
		}, ErrMessage},
		"unused credit":      {func(l *liar) { l.say(typeCredit, credit{wideWindow}) }, ErrCredit},
		"no credit":          {func(l *liar) { l.say(typeCredit, credit{}) }, ErrCredit},
		"negative credit":    {func(l *liar) { l.say(typeCredit, map[string]int{"bytes": -1}) }, ErrMessage},
		"overflowing credit": {func(l *liar) { l.say(typeCredit, map[string]int{"bytes": 1 << 40}) }, ErrMessage},
		"small pieces":       {func(l *liar) { l.conn.Write(mustFrame(l.t, typePart, "x")) }, ErrMessage},
		"end of no pieces":   {func(l *liar) { l.conn.Write(mustFrame(l.t, typeLast, "1")) }, ErrMessage},
		"host's drop":        {func(l *liar) { l.say(typeDrop, struct{}{}) }, ErrMessage},
		"endless pieces": {func(l *liar) {
			piece := mustFrame(l.t, typePart, strings.Repeat("1", pieceSize(wideWindow)))
			for _, err := l.conn.Write(piece); err == nil; {
				_, err = l.conn.Write(piece)
			}
		}, ErrFrameSize},
		"flood of beats": {func(l *liar) {
			for l.say(typeHeartbeat, heartbeat{}) {
			}
		}, ErrFlood},
		"flood of bytes": {func(l *liar) {
			for l.say(typeHeartbeat, map[string]string{"x": strings.Repeat("x", 500_000)}) {
			}
		}, ErrFlood},
		"flood of answers": {func(l *liar) {
			for l.say(typeResponse, response{ID: 77, Result: []byte("1")}) {
			}
		}, ErrFlood},
	} {
		t.Run(name, func(t *testing.T) {
			host, agent := socketPair(t)
			lie(t, agent, c.script)
			client := connect(t, host, "s")
			err := client.Call(t.Context(), "x", nil, nil)
			if !errors.Is(err, ErrClosed) {
				t.Errorf("call: %v", err)
			}
			receive(t, client.Done())
			if !errors.Is(client.Err(), c.want) || !errors.Is(client.Err(), ErrNoEndMarker) {
				t.Errorf("stream: %v, want %v", client.Err(), c.want)
			}
			if client.Ended() {
				t.Error("ended")
			}
		})
	}
}

func TestLyingErrors(t *testing.T) {
	for name, c := range map[string]struct {
		said wireError
		want string
	}{
		"no errno":     {wireError{Kind: "kernel", Call: "x", Text: "y"}, "op: agent: y"},
		"wrong errno":  {wireError{Kind: "kernel", Call: "x", Errno: "E\x1b[31m", Text: "y"}, "op: agent: y"},
		"unknown kind": {wireError{Kind: "host", Errno: "EIO", Text: "y"}, "op: agent: y"},
		"escapes":      {wireError{Kind: "kernel", Call: "a\x1b[2J", Errno: "EIO", Text: "b\r\nc"}, "op: a?[2J: EIO (b??c)"},
		"long":         {wireError{Kind: "agent", Text: strings.Repeat("x", 5000)}, "op: agent: " + strings.Repeat("x", maxText)},
	} {
		if got := c.said.err("op").Error(); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

func TestLyingHello(t *testing.T) {
	good := testHello
	good.Protocol, good.Session = ProtocolVersion, "s"
	for name, c := range map[string]struct {
		change func(*Hello)
		want   error
	}{
		"other protocol": {func(h *Hello) { h.Protocol = ProtocolVersion + 1 }, ErrFrameVersion},
		"no CPUs":        {func(h *Hello) { h.CPUs = 0 }, ErrMessage},
		"no window":      {func(h *Hello) { h.Window = 0 }, ErrMessage},
		"small window":   {func(h *Hello) { h.Window = minWindow - 1 }, ErrMessage},
		"vast window":    {func(h *Hello) { h.Window = maxWindow + 1 }, ErrMessage},
		"many CPUs":      {func(h *Hello) { h.CPUs = 1 << 30 }, ErrMessage},
		"no boot id":     {func(h *Hello) { h.BootID = "" }, ErrMessage},
		"escapes":        {func(h *Hello) { h.Kernel = "\x1b]0;x" }, ErrMessage},
		"long":           {func(h *Hello) { h.Agent = strings.Repeat("a", 300) }, ErrMessage},
	} {
		h := good
		c.change(&h)
		if err := h.check(); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := good.check(); err != nil {
		t.Error(err)
	}
}

// A hello for another session, however often, is not ours.
func TestHelloOfAnotherSession(t *testing.T) {
	host, agent := socketPair(t)
	go func() {
		h := testHello
		h.Protocol, h.Session = ProtocolVersion, "other"
		b, _ := encodeMessage(typeHello, h)
		for {
			if _, err := agent.Write(b); err != nil {
				return
			}
		}
	}()
	if _, err := Connect(t.Context(), host, "mine"); !errors.Is(err, ErrFlood) {
		t.Errorf("%v", err)
	}
}

// A guest that stops reading holds up calls, but neither their contexts nor
// Close.
func TestGuestThatDoesNotRead(t *testing.T) {
	host, agent := net.Pipe() // no buffer: a write waits for its reader
	read := make(chan struct{})
	lie(t, agent, func(l *liar) { <-read })
	defer close(read)
	c := connect(t, host, "s")
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	for range 3 {
		if err := c.Call(ctx, "x", nil, nil); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v", err)
		}
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
}

func TestBudget(t *testing.T) {
	var b budget
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	spent := 0
	for b.spend(0, now) {
		spent++
	}
	if spent != budgetBurst {
		t.Errorf("burst of %d", spent)
	}
	now = now.Add(time.Second)
	for b.spend(0, now) {
		spent++
	}
	if spent != budgetBurst+budgetRefill {
		t.Errorf("%d after a second", spent)
	}
	if b.spend(MaxPayload, now.Add(time.Second)) {
		t.Error("a large payload is cheap")
	}
}

// The host is trusted, but its stream may be damaged: the agent never carries on
// with the host it had.
func TestServeRejectsABrokenStream(t *testing.T) {
	hello, _ := helloFrame("s")
	one, _ := encodeMessage(typeRequest, request{ID: 1, Op: "wait"})
	for name, c := range map[string]struct {
		bytes []byte
		want  error
		after time.Duration
	}{
		"garbage":            {[]byte("garbage"), ErrFrameMagic, damageWait},
		"garbage and frames": {append([]byte("garbage"), one...), ErrFrameMagic, damageWait},
		"the same host":      {append([]byte("garbage"), hello...), ErrFrameMagic, 0},
		"checksum":           {append(one[:len(one)-1:len(one)-1], 'x'), ErrFrameChecksum, damageWait},
		"cut by the same":    {append(one[:9:9], hello...), errFrameCut, 0},
		"id used twice":      {append(one[:len(one):len(one)], one...), ErrMessage, 0},
		"guest's message":    {mustFrame(t, typeHeartbeat, "{}"), ErrMessage, 0},
		"guest's credit":     {mustFrame(t, typeCredit, `{"bytes":1}`), ErrMessage, 0},
		"end of no pieces":   {mustFrame(t, typeLast, "{}"), ErrMessage, 0},
		"small piece":        {mustFrame(t, typePart, "{}"), ErrMessage, 0},
	} {
		synctest.Test(t, func(t *testing.T) {
			host, agent := net.Pipe()
			over := serve(t, agent, testOps())
			read := make(chan struct{})
			go func() { drain(newFrameReader(host)); close(read) }()
			host.Write(hello)
			synctest.Wait()
			start := time.Now()
			host.Write(c.bytes)
			if s := <-over; !errors.Is(s.err, c.want) || time.Since(start) != c.after {
				t.Errorf("%s: %v after %v, want %v after %v", name, s.err, time.Since(start), c.want, c.after)
			}
			host.Close()
			<-read
		})
	}
}

// A host that goes away within a frame is no damage, and neither is the host
// that comes after it over a UART, wherever the frame was cut.
func TestHostGoneWithinAFrame(t *testing.T) {
	first, _ := helloFrame("first")
	second, _ := helloFrame("second")
	large, _ := encodeMessage(typeRequest, request{ID: 1, Op: "echo", Args: []byte(`"` + strings.Repeat("x", 100_000) + `"`)})
	type cut struct {
		frame []byte
		at    int
	}
	cuts := []cut{{large, 1000}, {large, 70_000}, {large, len(large) - 1}}
	for _, f := range [][]byte{first, large} {
		for at := range len(first) {
			cuts = append(cuts, cut{f, at})
		}
	}
	for _, c := range cuts {
		host, agent := socketPair(t)
		over := serve(t, agent, testOps())
		host.Write(append(append(first[:len(first):len(first)], c.frame[:c.at]...), second...))
		r := newFrameReader(host)
		for session := ""; session != "second"; {
			f, err := r.next()
			if err != nil {
				t.Fatalf("cut at %d: %v", c.at, err)
			}
			var h Hello
			if f.typ == typeHello {
				json.Unmarshal(f.payload, &h)
				session = h.Session
			}
		}
		host.Write(c.frame[:c.at])
		host.Close()
		if s := receive(t, over); !errors.Is(s.err, ErrHostGone) {
			t.Fatalf("cut at %d: %v", c.at, s.err)
		}
	}
}

func TestTooManyOperations(t *testing.T) {
	host, agent := socketPair(t)
	over := serve(t, agent, testOps())
	hello, _ := helloFrame("s")
	host.Write(hello)
	for id := range uint64(maxRunning + 1) {
		b, _ := encodeMessage(typeRequest, request{ID: id + 1, Op: "wait"})
		host.Write(b)
	}
	r := newFrameReader(host)
	for {
		f, err := r.next()
		if err != nil {
			t.Fatal(err)
		}
		if f.typ != typeResponse {
			continue
		}
		var resp response
		if err := decodeMessage(f, &resp); err != nil {
			t.Fatal(err)
		}
		if resp.ID != maxRunning+1 || resp.Error == nil || resp.Error.Text != "512 operations are under way already" {
			t.Errorf("%+v", resp)
		}
		break
	}
	host.Close()
	receive(t, over)
}

// An operation that ignores its context cannot hold up a power-off forever.
func TestStuckOperation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		host, agent := net.Pipe()
		stuck := make(chan struct{})
		over := serve(t, agent, map[string]Operation{
			"stuck": func(context.Context, json.RawMessage) (any, error) { <-stuck; return nil, nil },
		})
		c, err := Connect(t.Context(), host, "s")
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		c.Call(ctx, "stuck", nil, nil)
		done := powerOff(t, over, func(*Ending) { agent.Close() })
		start := time.Now()
		if err := c.PowerOff(t.Context()); err != nil {
			t.Error(err)
		}
		if waited := time.Since(start); waited != opGrace {
			t.Errorf("waited %v", waited)
		}
		<-done
		close(stuck)
		c.Close()
	})
}
