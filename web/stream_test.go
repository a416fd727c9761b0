package web_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/headwatch/headwatch/web"
)

type event struct{ name, id, data string }

// events reads a stream until n events have come or it has ended.
func events(t testing.TB, r io.Reader, n int) []event {
	t.Helper()
	var list []event
	var e event
	for s := bufio.NewScanner(r); len(list) < n && s.Scan(); {
		key, value, _ := strings.Cut(s.Text(), ": ")
		switch key {
		case "event":
			e.name = value
		case "id":
			e.id = value
		case "data":
			e.data = value
			if e.name == "" {
				if err := json.Unmarshal([]byte(value), &e.data); err != nil {
					t.Fatalf("data %q: %v", value, err)
				}
			}
		case "":
			if e != (event{}) {
				list = append(list, e)
			}
			e = event{}
		}
	}
	return list
}

func follow(t testing.TB, url, lastID string) *http.Response {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	t.Cleanup(cancel)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if lastID != "" {
		req.Header.Set("Last-Event-ID", lastID)
	}
	resp, err := new(http.Transport).RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { resp.Body.Close() })
	return resp
}

func TestStreamFollowsAndResumes(t *testing.T) {
	n := seeded(t)
	log := newLog("first\r\n")
	url := listen(t, web.Handler(n, consoles{n.liveRun: log}, options())) + "/run/" + n.liveRun + "/console/stream"
	resp := follow(t, url, "")
	if got := resp.Header.Get("Content-Type"); got != "text/event-stream" {
		t.Fatalf("type %q", got)
	}
	got := events(t, resp.Body, 2)
	if len(got) != 2 || got[0].name != "reset" || got[1] != (event{"", "7", "first\n"}) {
		t.Fatalf("at first: %+v", got)
	}
	// Half of a character, then its rest: the id stays before it.
	io.WriteString(log, "se\xc3")
	got = events(t, resp.Body, 1)
	if len(got) != 1 || got[0] != (event{"", "9", "se"}) {
		t.Fatalf("half a character: %+v", got)
	}
	io.WriteString(log, "\xa9 \x1b[31mred\x1b[0m")
	log.Close()
	if got = events(t, resp.Body, 2); len(got) != 2 || got[0].data != "é red" || got[1].name != "end" {
		t.Fatalf("at the end: %+v", got)
	}
	// A reader that connects again goes on where it was, without a reset.
	if got = events(t, follow(t, url, "9").Body, 2); len(got) != 2 || got[0].data != "é red" || got[1].name != "end" {
		t.Fatalf("resumed: %+v", got)
	}
}

func TestStreamOfFinishedRunEnds(t *testing.T) {
	n := seeded(t)
	base := listen(t, web.Handler(n, web.Nothing{}, options()))
	got := events(t, follow(t, base+"/run/"+n.failedRun+"/console/stream", "").Body, 5)
	if len(got) != 1 || got[0].name != "end" {
		t.Errorf("got %+v", got)
	}
	if resp := follow(t, base+"/run/nosuchrun/console/stream", ""); resp.StatusCode != http.StatusNotFound {
		t.Errorf("unknown run: %d", resp.StatusCode)
	}
}

// lines is a log handler that passes messages on.
type lines chan string

func (l lines) Write(p []byte) (int, error) {
	l <- string(p)
	return len(p), nil
}

// TestSlowReader lets one reader take nothing. The guest must not notice, and the
// reader must be cut off and its place be given to the next.
func TestSlowReader(t *testing.T) {
	n := seeded(t)
	log := newLog("")
	defer log.Close()
	said := make(lines, 16)
	opt := options()
	opt.Streams, opt.Stall = 1, time.Second
	opt.Log = slog.New(slog.NewTextHandler(said, nil))
	// Small buffers of the system, so that a reader is slow soon.
	base := listen(t, web.Handler(n, consoles{n.liveRun: log}, opt), func(srv *http.Server) {
		srv.ConnContext = func(ctx context.Context, c net.Conn) context.Context {
			c.(*net.TCPConn).SetWriteBuffer(4 << 10)
			return ctx
		}
	})
	path := "/run/" + n.liveRun + "/console/stream"

	conn, err := net.Dial("tcp", strings.TrimPrefix(base, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.(*net.TCPConn).SetReadBuffer(4 << 10)
	fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n", path)
	if line, err := bufio.NewReaderSize(conn, 16).ReadString('\n'); err != nil || !strings.Contains(line, "200") {
		t.Fatalf("%q %v", line, err)
	}
	if resp := follow(t, base+path, ""); resp.StatusCode != http.StatusServiceUnavailable || resp.Header.Get("Retry-After") == "" {
		t.Errorf("a stream too many: %d", resp.StatusCode)
	}
	if line := <-said; !strings.Contains(line, "status=503") {
		t.Errorf("log: %s", line)
	}
	chunk := bytes.Repeat([]byte("a line of a guest that never stops talking\n"), 100)
	slowest := time.Duration(0)
	deadline := time.Now().Add(30 * time.Second)
	for cut := false; !cut; {
		before := time.Now()
		log.Write(chunk)
		slowest = max(slowest, time.Since(before))
		select {
		case line := <-said:
			if cut = strings.Contains(line, "too slow"); !cut {
				t.Fatalf("log: %s", line)
			}
		default:
			if before.After(deadline) {
				t.Fatal("the slow reader is still connected")
			}
		}
	}
	if slowest >= opt.Stall {
		t.Errorf("one write of %d bytes took %v while a reader was slow", len(chunk), slowest)
	}
	// The place is free once the handler has returned, a moment after its log line.
	for {
		resp := follow(t, base+path, "")
		if resp.StatusCode == http.StatusOK {
			break
		}
		resp.Body.Close()
		<-said
		if time.Now().After(deadline) {
			t.Fatal("the slow reader's place is not free")
		}
	}
}
