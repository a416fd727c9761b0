package console

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestLogKeepsHeadAndTail(t *testing.T) {
	now := time.Duration(0)
	l := New(Options{Head: 1000, Tail: 2000, Since: func() time.Duration { return now }})
	var all bytes.Buffer
	for i := range 500 {
		now = time.Duration(i) * time.Second
		line := fmt.Sprintf("line %03d\n", i)
		all.WriteString(line)
		l.Write([]byte(line))
	}
	l.Write([]byte("mountroot> "))
	all.WriteString("mountroot> ")
	s := l.Snapshot()
	if got := string(s.Head[0].Text); got != "line 000" || s.Head[0].At != 0 {
		t.Errorf("head starts with %q at %v", got, s.Head[0].At)
	}
	last := s.Tail[len(s.Tail)-2]
	if string(last.Text) != "line 499" || last.At != 499*time.Second {
		t.Errorf("last line %q at %v", last.Text, last.At)
	}
	kept := 0
	for _, line := range append(s.Head, s.Tail...) {
		kept += int(line.size())
	}
	if int64(kept)+s.Dropped != int64(all.Len()) {
		t.Errorf("kept %d + dropped %d != %d said", kept, s.Dropped, all.Len())
	}
	if got := l.Tail(40); got != all.String()[all.Len()-40:] {
		t.Errorf("tail %q", got)
	}
	if got := l.Tail(1 << 20); !strings.HasSuffix(all.String(), got) || strings.Contains(got, "line 000") {
		t.Errorf("a long tail crosses the gap: starts %q", got[:20])
	}
	if !strings.Contains(string(s.Bytes()), fmt.Sprintf("[... %d bytes not kept ...]", s.Dropped)) {
		t.Error("no marker where the gap is")
	}
}

func TestLogIsBoundedWhateverTheGuestSays(t *testing.T) {
	for name, piece := range map[string][]byte{
		"newlines": bytes.Repeat([]byte("\n"), 64<<10), "one line": bytes.Repeat([]byte("x"), 64<<10),
	} {
		l := New(Options{Head: 10 << 10, Tail: 100 << 10})
		for range 32 {
			l.Write(piece)
		}
		cost := 0
		s := l.Snapshot()
		for _, line := range append(s.Head, s.Tail...) {
			cost += len(line.Text) + lineCost
		}
		if cost > 120<<10 {
			t.Errorf("%s: %d bytes kept", name, cost)
		}
	}
}

// TestSnapshotStaysAsItWas: the log uses memory again, what it gave away it does
// not.
func TestSnapshotStaysAsItWas(t *testing.T) {
	l := New(Options{Head: 100, Tail: 200 << 10})
	for i := range 20000 {
		fmt.Fprintf(l, "line %d of the log\n", i)
	}
	s := l.Snapshot()
	before := string(s.Bytes())
	for i := range 20000 {
		fmt.Fprintf(l, "overwritten with %d\n", i)
	}
	if string(s.Bytes()) != before {
		t.Error("a snapshot changed under later writes")
	}
	if got := string(l.Snapshot().Bytes()); !strings.HasSuffix(got, "overwritten with 19999\n") || strings.Contains(got, "line 19999 of") {
		t.Errorf("the log ends with %q", got[len(got)-60:])
	}
}

func TestSaveAndLoad(t *testing.T) {
	now := time.Duration(0)
	l := New(Options{Head: 500, Tail: 800, Since: func() time.Duration { return now }})
	for i := range 100 {
		now += 1500 * time.Millisecond
		fmt.Fprintf(l, "line %d\r\n", i)
	}
	l.Write(bytes.Repeat([]byte("y"), maxLine+5))
	l.Write([]byte("\x00\xff\nlogin: "))
	path := filepath.Join(t.TempDir(), "console.log.zst")
	if err := l.Save(path); err != nil {
		t.Fatal(err)
	}
	got, err := Load(path, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(l.Snapshot(), got); d != "" {
		t.Errorf("loaded (+) is not what was saved (-):\n%s", d)
	}
	if _, err := Load(path, 100); err == nil || !strings.Contains(err.Error(), "more than 100 bytes") {
		t.Errorf("over the limit: %v", err)
	}
	if err := os.WriteFile(path, []byte("not a log"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(path, 100); err == nil {
		t.Error("garbage loads")
	}
	files, _ := os.ReadDir(filepath.Dir(path))
	if len(files) != 1 {
		t.Errorf("left behind: %v", files)
	}
}

func TestFollowersSeeEverythingInOrder(t *testing.T) {
	l := New(Options{})
	var want bytes.Buffer
	var readers sync.WaitGroup
	got := make([]bytes.Buffer, 5)
	for i := range got {
		readers.Go(func() {
			for c, err := range l.Follow(t.Context(), 0) {
				if err != nil || c.Missed != 0 || c.Offset != int64(got[i].Len()) {
					t.Errorf("chunk at %d, missed %d, %v", c.Offset, c.Missed, err)
				}
				got[i].Write(c.Data)
			}
		})
	}
	for i := range 2000 {
		fmt.Fprintf(&want, "line %d\n", i)
		fmt.Fprintf(l, "line %d\n", i)
	}
	fmt.Fprint(&want, "db> ")
	fmt.Fprint(l, "db> ")
	l.Close()
	readers.Wait()
	for i := range got {
		if got[i].String() != want.String() {
			t.Errorf("reader %d got %d bytes, want %d", i, got[i].Len(), want.Len())
		}
	}
}

func TestSlowFollowerGetsAGap(t *testing.T) {
	l := New(Options{Head: 1000, Tail: 1000})
	fmt.Fprintf(l, "first line\n")
	var next int64
	for c, err := range l.Follow(t.Context(), 0) {
		if err != nil {
			t.Fatal(err)
		}
		if c.Offset != next+c.Missed {
			t.Fatalf("chunk at %d, missed %d, after %d", c.Offset, c.Missed, next)
		}
		if c.Missed > 0 {
			break
		}
		next = c.Next()
		for range 200 { // the writer does not wait for us
			fmt.Fprintf(l, "some line\n")
		}
	}
	if next == 0 {
		t.Error("nothing before the gap")
	}
}

func TestFollowEndsWithItsContext(t *testing.T) {
	l := New(Options{})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	fmt.Fprint(l, "hello\n")
	var last error
	for c, err := range l.Follow(ctx, 0) {
		last = err
		if len(c.Data) > 0 {
			cancel()
		}
	}
	if !errors.Is(last, context.Canceled) {
		t.Errorf("ended with %v", last)
	}
}

func FuzzLoad(f *testing.F) {
	f.Add([]byte(magic + "\n0.000000 hello\n1.5!10\n2.0+x\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		s, err := parse(bytes.NewReader(text), 1<<16)
		if err == nil && s.Dropped < 0 {
			t.Error("negative gap")
		}
	})
}
