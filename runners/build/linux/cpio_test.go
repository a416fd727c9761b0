package linux

import (
	"bytes"
	"flag"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "rewrite golden files")

func sampleNodes() []node {
	const device = fs.ModeDevice | fs.ModeCharDevice
	return []node{
		text("etc/motd", "hello\n"),
		{name: "etc", mode: fs.ModeDir | 0o755},
		{name: "tmp", mode: fs.ModeDir | fs.ModeSticky | 0o777},
		{name: "dev/console", mode: device | 0o600, major: 5, minor: 1},
		{name: "dev", mode: fs.ModeDir | 0o755},
		{name: "bin", mode: fs.ModeSymlink | 0o777, target: "usr/bin"},
		bytesNode("init", 0o755, []byte("odd")),
		text("empty", ""),
	}
}

func TestCPIOGolden(t *testing.T) {
	var got bytes.Buffer
	if err := writeCPIO(&got, sampleNodes()); err != nil {
		t.Fatal(err)
	}
	const golden = "testdata/sample.cpio"
	if *update {
		if err := os.WriteFile(golden, got.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got.Bytes(), want) {
		t.Errorf("archive differs from %s:\n%q", golden, got.Bytes())
	}
	if tool, err := exec.LookPath("cpio"); err == nil {
		cmd := exec.Command(tool, "-t", "--quiet")
		cmd.Stdin = bytes.NewReader(want)
		out, err := cmd.CombinedOutput()
		if want := "bin\ndev\ndev/console\nempty\netc\netc/motd\ninit\ntmp\n"; err != nil || string(out) != want {
			t.Errorf("cpio -t: %v\n%s", err, out)
		}
	}
}

func TestCPIOReadsBack(t *testing.T) {
	var both bytes.Buffer
	for _, nodes := range [][]node{sampleNodes(), {text("second", "part")}} {
		if err := writeCPIO(&both, nodes); err != nil {
			t.Fatal(err)
		}
		if both.Len()%cpioBlock != 0 {
			t.Errorf("archive of %d bytes is not padded", both.Len())
		}
	}
	list, err := readCPIO(both.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	type brief struct {
		Name string
		Mode int
		Ino  int
		Body string
	}
	var got []brief
	for _, e := range list {
		got = append(got, brief{e.name, e.mode, e.ino, e.body})
	}
	want := []brief{
		{"bin", 0o120777, 1, "usr/bin"},
		{"dev", 0o40755, 2, ""},
		{"dev/console", 0o20600, 3, ""},
		{"empty", 0o100644, 4, ""},
		{"etc", 0o40755, 5, ""},
		{"etc/motd", 0o100644, 6, "hello\n"},
		{"init", 0o100755, 7, "odd"},
		{"tmp", 0o41777, 8, ""},
		{"second", 0o100644, 1, "part"},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if c := list[2]; c.major != 5 || c.minor != 1 {
		t.Errorf("dev/console is device %d:%d", c.major, c.minor)
	}
}

func TestCPIOOrderDoesNotMatter(t *testing.T) {
	var want bytes.Buffer
	if err := writeCPIO(&want, sampleNodes()); err != nil {
		t.Fatal(err)
	}
	nodes := sampleNodes()
	for seed := range uint64(10) {
		rand.New(rand.NewPCG(seed, 0)).Shuffle(len(nodes), func(i, j int) { nodes[i], nodes[j] = nodes[j], nodes[i] })
		var got bytes.Buffer
		if err := writeCPIO(&got, nodes); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got.Bytes(), want.Bytes()) {
			t.Fatalf("shuffle %d made another archive", seed)
		}
	}
}

func TestCPIORefuses(t *testing.T) {
	long := text("grown", "12345")
	long.size = 3
	short := text("shrunk", "12345")
	short.size = 9
	for _, c := range []struct {
		name  string
		nodes []node
		want  string
	}{
		{"twice", []node{text("a", ""), text("a", "")}, "a twice"},
		{"absolute", []node{text("/a", "")}, "no name"},
		{"escape", []node{text("../a", "")}, "no name"},
		{"nul", []node{text("a\x00b", "")}, "no name"},
		{"root", []node{{name: ".", mode: fs.ModeDir}}, "no name"},
		{"long name", []node{text(strings.Repeat("a", 1025), "")}, "no name"},
		{"pipe", []node{{name: "p", mode: fs.ModeNamedPipe}}, "cannot archive"},
		{"grown", []node{long}, "expected 3 bytes"},
		{"shrunk", []node{short}, "expected 9 bytes"},
	} {
		err := writeCPIO(io.Discard, c.nodes)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", c.name, err, c.want)
		}
	}
}
