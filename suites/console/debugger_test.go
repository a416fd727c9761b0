package console

import (
	"strings"
	"testing"
	"time"

	"github.com/headwatch/headwatch/suites/console/guest"
)

// A writer that goes on in time is seen to, one that does not is told, and a prompt is
// answered once.
func TestSitter(t *testing.T) {
	const entered = "KDB: enter: sysctl debug.kdb.enter\r\n[ thread pid 1 tid 100001 ]\r\ndb> "
	line := guest.Line(nil, 1, 0, 0)
	speak := func(s *said, lines int) {
		for range lines {
			s.add(line)
		}
	}
	at := func(ms int) time.Time { return time.UnixMilli(int64(ms)) }
	for _, tt := range []struct {
		name    string
		more    int // lines after the debugger was left
		after   int // ms
		starved time.Duration
		entries int
		want    string
	}{
		{"in time", 20, 1900, 0, 1, ""},
		{"not at all", 0, 2100, 0, 0, "does not go on 2.1 s after the debugger was left: 0 bytes came"},
		{"what was under way only", 2, 2100, 0, 0, "does not go on"},
		{"a host that kept it from its CPUs", 0, 2100, 200 * time.Millisecond, 0, ""},
		{"not yet", 0, 500, 0, 0, ""},
	} {
		var s said
		var d sitter
		speak(&s, 5)
		s.add([]byte(entered))
		if !d.asked(&s) {
			t.Fatalf("%s: the prompt was not seen", tt.name)
		}
		d.answer(&s, at(1000), 0)
		speak(&s, tt.more)
		if d.asked(&s) {
			t.Errorf("%s: the prompt is answered twice", tt.name)
		}
		err := d.look(&s, at(1000+tt.after), tt.starved)
		if d.entries != tt.entries || (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %d entries, %v; want %d, %q", tt.name, d.entries, err, tt.entries, tt.want)
		}
	}
}
