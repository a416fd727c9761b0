package plot

import (
	"bytes"
	"encoding/xml"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/headwatch/headwatch/suites/wire"
	"github.com/headwatch/headwatch/suites/wire/judge"
)

var update = flag.Bool("update", false, "write the golden pictures anew")

// opened is a handshake with scales.
const opened = `
0.000 > S  0:1         win 65535 wscale 6
0.020 < S. 0:1 ack 1   win 65535 wscale 6
0.021 > .  1:1 ack 1   win 1000
`

var scripts = map[string]string{
	// Segments 2 and 4 of 6 are lost; SACK says so, and an ACK is late and another doubled.
	"recovery": opened + `
0.100 > . 1:1461     ack 1 win 1000
0.101 > . 1461:2921  ack 1 win 1000 lost rule=second
0.102 > . 2921:4381  ack 1 win 1000
0.103 > . 4381:5841  ack 1 win 1000 lost rule=<fourth>&"x"
0.104 > . 5841:7301  ack 1 win 1000 twice=0.004
0.105 > . 7301:8761  ack 1 win 1000
0.120 < . 1:1 ack 1461 win 200
0.1205 < . 1:1 ack 1461 win 200 sack 2921:4381
0.1210 < . 1:1 ack 1461 win 200 sack 5841:7301,2921:4381
0.1215 < . 1:1 ack 1461 win 200 sack 5841:8761,2921:4381
0.1220 > . 1461:2921  ack 1 win 1000
0.1225 > . 4381:5841  ack 1 win 1000
0.1420 < . 1:1 ack 4381 win 200 sack 5841:8761 late=0.05 rule=slow
0.1425 < . 1:1 ack 8761 win 200
0.2000 > F. 8761:8762 ack 1 win 1000
0.2200 < F. 1:2 ack 8762 win 200
0.2210 > . 8762:8762 ack 2 win 1000
`,
	// The guest receives: out of order, changed on its way, and at last a reset.
	"receiving": opened + `
0.100 < . 1:1461    ack 1 win 1000
0.101 < . 1461:2921 ack 1 win 1000 late=0.03 rule=hold
0.102 < . 2921:4381 ack 1 win 1000
0.103 > . 1:1 ack 1461 win 990
0.104 > . 1:1 ack 1461 win 990 sack 2921:4381
0.105 < . 4381:5841 ack 1 win 1000 changed
0.132 > . 1:1 ack 4381 win 980
0.200 < . 4381:5841 ack 1 win 1000
0.201 > . 1:1 ack 5841 win 980
0.300 < R. 5841:5841 ack 1 win 0
`,
	// No beginning, so no scale; sent again for no reason.
	"middle": `
1.100 > . 1:1461 ack 1 win 1000
1.130 > . 1:1461 ack 1 win 1000
1.131 < . 1:1 ack 2921 win 1000
`,
	// Nothing but SYNs.
	"silence": "0 > S 0:1 lost\n1 > S 0:1 lost\n3 > S 0:1 lost\n",
}

// pictures draws a script with its judgement.
func pictures(t *wire.Trace) []*Picture {
	return Pictures(t, judge.Analyze(t.Events, judge.FreeBSD(1000), judge.Expect{}))
}

func draw(t testing.TB, p *Picture, o Options) string {
	t.Helper()
	var b bytes.Buffer
	if err := p.SVG(&b, o); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestGolden(t *testing.T) {
	for name, script := range scripts {
		for _, p := range pictures(play(script)) {
			golden := filepath.Join("testdata", name+"-"+p.Name())
			got := draw(t, p, Options{})
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if diff := cmp.Diff(string(want), got); err != nil || diff != "" {
				t.Errorf("%s (-want +got), %v; run with -update when it is meant:\n%s", golden, err, diff)
			}
			shape(t, got)
		}
	}
}

// shape checks that a picture is well-formed XML, holds nothing that runs or leads out
// of it, and says what it is. It gives how many of each class its marks stand for.
func shape(t testing.TB, svg string) map[string]int {
	t.Helper()
	counts, titles, depth := map[string]int{}, 0, 0
	d := xml.NewDecoder(strings.NewReader(svg))
	for {
		tok, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("not well-formed: %v\n%.2000s", err, svg)
		}
		switch e := tok.(type) {
		case xml.StartElement:
			depth++
			switch e.Name.Local {
			case "svg", "desc", "style", "rect", "path", "text", "g":
			case "title":
				titles++
			default:
				t.Errorf("element %s", e.Name.Local)
			}
			class, n := "", 1
			for _, a := range e.Attr {
				switch name := a.Name.Local; {
				case name == "class":
					class = a.Value
				case name == "data-n":
					n, _ = strconv.Atoi(a.Value)
				case strings.HasPrefix(name, "on"), strings.HasSuffix(name, "href"), name == "style", strings.Contains(a.Value, "url("):
					t.Errorf("attribute %s=%q", name, a.Value)
				case name == "d" && strings.ContainsAny(a.Value, "NnIi"):
					t.Errorf("path %q", a.Value)
				}
			}
			if e.Name.Local == "g" {
				counts[class] += n
			}
		case xml.EndElement:
			depth--
		case xml.Directive, xml.ProcInst:
			t.Errorf("%T", e)
		}
	}
	if depth != 0 || titles == 0 || !strings.Contains(svg, `role="img"`) || strings.Contains(svg, "@import") {
		t.Errorf("depth %d, %d titles", depth, titles)
	}
	return counts
}

// TestWhatIsSaid: reasons, rules and findings are in the picture, as text.
func TestWhatIsSaid(t *testing.T) {
	all := map[string]string{}
	for name, script := range scripts {
		for _, p := range pictures(play(script)) {
			all[name+" "+p.Dir.String()] = draw(t, p, Options{})
		}
	}
	if len(all) != 4 {
		t.Errorf("%d pictures, want one of each script", len(all))
	}
	for picture, parts := range map[string][]string{
		"recovery from guest": {"bytes 1460 to 2920 sent again, transmission 2: fast retransmit", "transmission 2: SACK hole", "(1 SACK hole, 1 fast retransmit)",
			"bytes 1460 to 2920 dropped by the wire by second", "by &lt;fourth&gt;&amp;&#34;x&#34;", "bytes 5840 to 7300 second copy", "ACK of byte 4380 late, 50.000 ms under way by slow",
			">SYN<", ">FIN<", "10.77.0.2:40000 → 10.77.0.1:80", ">window<", ">SACK<"},
		"receiving to guest": {"bytes 1460 to 2920 late, 30.000 ms under way by hold", "changed by the wire", "sent again, transmission 2: by the peer", ">RST<", "10.77.0.1:80 → 10.77.0.2:40000"},
		"middle from guest":  {"no window: its scale is not in the trace", "1 finding.", "retransmit-without-loss", "1 needless"},
		"silence from guest": {"3 segments, 0 bytes, 2 sent again (2 SYN), 3 dropped by the wire"},
	} {
		for _, part := range parts {
			if !strings.Contains(all[picture], part) {
				t.Errorf("%s has no %q", picture, part)
			}
		}
	}
	counts := shape(t, all["recovery from guest"])
	if diff := cmp.Diff(map[string]int{"re": 2, "lost": 2, "odd": 2}, counts); diff != "" {
		t.Errorf("marks (-want +got):\n%s", diff)
	}
}

// Without a judge the picture says so, and shows the same.
func TestNobodyJudged(t *testing.T) {
	tr := play(scripts["recovery"])
	p := Pictures(tr, nil)
	if len(p) != 1 || p[0].Resent != 2 || p[0].Dropped != 2 || !strings.Contains(draw(t, p[0], Options{}), "reason not known") {
		t.Errorf("%+v", p)
	}
}

// A cut trace has the headers, and these are enough.
func TestCutFrames(t *testing.T) {
	cut := strings.ReplaceAll(scripts["recovery"], "ack 1 win 1000", "ack 1 win 1000 short=66")
	whole, short := Pictures(play(scripts["recovery"]), nil)[0], Pictures(play(cut), nil)[0]
	if a, b := draw(t, whole, Options{}), draw(t, short, Options{}); a != b {
		t.Errorf("a cut trace looks different:\n%s", cmp.Diff(a, b))
	}
}

// flood is a trace of n segments by a hand that decides what becomes of each.
func flood(n int, each func(i int) string) *wire.Trace {
	var b strings.Builder
	b.WriteString(opened)
	for i := range n {
		b.WriteString(each(i))
	}
	return play(b.String())
}

// TestBounded: however much there is, a picture stays small, and every retransmission
// and every loss is counted in it.
func TestBounded(t *testing.T) {
	const n = 100000
	for name, each := range map[string]func(i int) string{
		"all is well": func(i int) string { return line(i, i, "") },
		"every tenth is lost": func(i int) string {
			if i%10 == 9 {
				return line(i, i-3, "") + line(i, i, "lost rule=tenth")
			}
			return line(i, i, "")
		},
		"everything twice, lost or doubled": func(i int) string {
			return line(i, i/2, []string{"lost", "twice=0.5"}[i%2]+" rule="+strings.Repeat("x", 300))
		},
		"all over the place": func(i int) string { return line(i, i*7919%n, "late=0."+strconv.Itoa(i%9+1)) + sacked(i, n) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tr := flood(n, each)
			began := time.Now()
			for _, p := range Pictures(tr, nil) {
				svg := draw(t, p, Options{})
				counts := shape(t, svg)
				if counts["re"] != p.Resent || counts["lost"] != p.Dropped {
					t.Errorf("%v, want %d sent again and %d dropped", counts, p.Resent, p.Dropped)
				}
				if len(svg) > 1<<20 {
					t.Errorf("%d bytes", len(svg))
				}
				t.Logf("%s: %d segments, %d again, %d dropped: %d KB after %v", p.Dir, p.Segments, p.Resent, p.Dropped, len(svg)/1000, time.Since(began).Round(time.Millisecond))
			}
		})
	}
}

// line is the i-th frame: segment k of 100 bytes.
func line(i, k int, words string) string {
	return fmt.Sprintf("%.6f > . %d:%d ack 1 win 1000 %s\n", 0.1+float64(i)*1e-4, 1+100*k, 101+100*k, words)
}

func sacked(i, n int) string {
	from := 1 + 100*(i*31%n)
	return fmt.Sprintf("%.6f < . 1:1 ack %d win %d sack %d:%d\n", 0.1+float64(i)*1e-4, 1+100*(i/2), i%1000, from, from+100)
}
