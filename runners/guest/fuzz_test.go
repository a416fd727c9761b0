package guest

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
)

// FuzzClient: whatever a guest says after the handshake, the client ends with an
// error and all of its goroutines.
func FuzzClient(f *testing.F) {
	credit, _ := encodeMessage(typeCredit, credit{512})
	f.Add(credit)
	f.Add(mustFrame(f, typePart, strings.Repeat("x", 498)))
	f.Add(slices.Concat(mustFrame(f, typePart, strings.Repeat(" ", 498)), mustFrame(f, typeLast, `{"id":1,"result":1}`)))
	f.Add(mustFrame(f, typeDrop, "{}"))
	f.Add(mustFrame(f, typeBye, "{}"))
	f.Fuzz(func(t *testing.T, said []byte) {
		host, agent := net.Pipe()
		h := testHello
		h.Protocol, h.Session, h.Window = ProtocolVersion, "s", 1024
		hello, _ := encodeMessage(typeHello, h)
		go func() {
			go io.Copy(io.Discard, agent)
			agent.Write(slices.Concat(hello, said))
			agent.Close()
		}()
		c, err := Connect(t.Context(), host, "s")
		if err != nil {
			t.Fatal(err)
		}
		c.Call(t.Context(), "x", strings.Repeat("y", 5000), nil)
		<-c.Done()
		if c.Err() == nil && !c.Ended() {
			t.Error("over without a reason")
		}
		c.Close()
	})
}

// FuzzServe is the same for the guest's end.
func FuzzServe(f *testing.F) {
	hello, _ := helloFrame("s")
	one, _ := encodeMessage(typeRequest, request{ID: 1, Op: "none"})
	f.Add(slices.Concat(hello, one))
	f.Add(slices.Concat(hello, mustFrame(f, typePart, strings.Repeat("x", 498)), mustFrame(f, typeDrop, "{}")))
	f.Fuzz(func(t *testing.T, said []byte) {
		h := testHello
		h.Window = 1024
		conn := struct {
			io.Reader
			io.Writer
		}{strings.NewReader(string(said)), io.Discard}
		ops := map[string]Operation{"none": func(context.Context, json.RawMessage) (any, error) { return nil, nil }}
		if ending, err := Serve(t.Context(), conn, h, ops); err == nil && ending == nil {
			t.Error("neither an end nor an error")
		}
	})
}
