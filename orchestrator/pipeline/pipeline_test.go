package pipeline

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/headwatch/headwatch/suites"
)

// shippedFile is the file that the binary embeds.
const shippedFile = "../../pipelines.yaml"

// shipped is what the shipped file may refer to.
var shipped = Known{
	Suites: map[string][]suites.Layer{
		"smoke": {suites.Smoke}, "tcp": {suites.Smoke, suites.Functional, suites.Stress}, "console": {suites.Smoke, suites.Functional, suites.Stress},
		"superpage": {suites.Smoke, suites.Functional},
	},
	NICModels: rig.NICModels,
	NICLinks:  []string{"user", "wire"},
}

func TestShippedFile(t *testing.T) {
	data, err := os.ReadFile(shippedFile)
	if err != nil {
		t.Fatal(err)
	}
	f, err := Default(data, shipped)
	if err != nil {
		t.Fatal(err)
	}
	if f.Path != BuiltIn {
		t.Errorf("path %q", f.Path)
	}
	smoke, three := []suites.Layer{suites.Smoke}, []suites.Layer{suites.Smoke, suites.Functional, suites.Stress}
	wantCells := []Cell{
		{"demo", "demo-linux", "small", smoke},
		{"freebsd", "freebsd-amd64", "wired", three},
		{"freebsd", "freebsd-amd64-debug", "wired", three},
	}
	if diff := cmp.Diff(wantCells, f.Cells()); diff != "" {
		t.Errorf("cells (-want +got):\n%s", diff)
	}
	wantDemo := Upstream{Name: "demo", Git: "demo", Branch: "main", Poll: time.Second, Commits: "every", Backfill: 100}
	if diff := cmp.Diff(wantDemo, f.Upstreams["demo"]); diff != "" {
		t.Errorf("demo (-want +got):\n%s", diff)
	}
	wantTarget := Target{
		Name: "demo-linux", OS: "linux", Arch: "amd64", Source: "package", Kernel: "cloud",
		Boot: "direct", Overlay: "guest", Cmdline: []string{"slab_nomerge"},
	}
	if diff := cmp.Diff(wantTarget, f.Targets["demo-linux"]); diff != "" {
		t.Errorf("demo-linux (-want +got):\n%s", diff)
	}
	wantMachine := Machine{Name: "small", SMP: 2, Memory: 512, Accel: "auto", Control: "virtio", NICs: []NIC{{Model: "virtio-net", Link: "user"}}}
	if diff := cmp.Diff(wantMachine, f.Machines["small"]); diff != "" {
		t.Errorf("small (-want +got):\n%s", diff)
	}
}

func TestCellsAreSorted(t *testing.T) {
	f, err := Load("testdata/good/full.yaml", rig)
	if err != nil {
		t.Fatal(err)
	}
	both, smoke := []suites.Layer{suites.Smoke, suites.Soak}, []suites.Layer{suites.Smoke}
	want := []Cell{
		{"local", "packaged", "big", smoke},
		{"local", "packaged", "tiny", smoke},
		{"mirror", "kernel", "big", both},
		{"mirror", "world", "big", both},
		{"src", "kernel", "big", both},
		{"src", "world", "big", both},
	}
	if diff := cmp.Diff(want, f.Cells()); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestDigestIsOfTheMeaning(t *testing.T) {
	parse := func(matrix, upstream string) string {
		t.Helper()
		f, err := Parse("test.yaml", []byte(small(matrix, upstream)), rig)
		if err != nil {
			t.Fatal(err)
		}
		return f.Digest()
	}
	base := parse("  - {upstreams: [u], targets: [t], machines: [m, n], layers: [smoke]}", "u: {git: x}")
	split := "  - {upstreams: [u], targets: [t], machines: [n], layers: [smoke]}\n  - {upstreams: [u], targets: [t], machines: [m], layers: [smoke]}"
	for name, same := range map[string]string{
		"matrix split":      parse(split, "u: {git: x}"),
		"default written":   parse(split, "u: {git: x, branch: main, poll: 300s}"),
		"comment and order": parse(split, "u: {poll: 5m, git: x} # the one"),
	} {
		if same != base {
			t.Errorf("%s: digest differs", name)
		}
	}
	if other := parse(split, "u: {git: y}"); other == base || len(other) != 64 {
		t.Errorf("another upstream has digest %q, the first %q", other, base)
	}
}

func TestTimeout(t *testing.T) {
	f := &File{Layers: map[suites.Layer]Layer{suites.Smoke: {Timeout: 5 * time.Minute}}}
	if got := f.Timeout(suites.Smoke); got != 5*time.Minute {
		t.Errorf("a layer that says: %v", got)
	}
	if got := f.Timeout(suites.Soak); got != 10*time.Minute {
		t.Errorf("a layer that the file lacks: %v, want a limit", got)
	}
}

// small is a file with one target, machines m and n, and the given rest.
func small(matrix, upstream string) string {
	return "upstreams:\n  " + upstream + `
targets:
  t: {os: linux, arch: amd64, source: package, kernel: cloud}
machines:
  m: {}
  n: {smp: 4}
layers:
  smoke: {suites: [basic]}
matrix:
` + matrix + "\n"
}

func TestRemote(t *testing.T) {
	for _, c := range []struct {
		upstream Upstream
		want     string
	}{
		{Upstream{Git: "demo"}, "/state/demo"},
		{Upstream{Git: "a/b:c"}, "/state/a/b:c"},
		{Upstream{Git: "/srv/src.git"}, "/srv/src.git"},
		{Upstream{Git: "https://example.org/src.git"}, "https://example.org/src.git"},
		{Upstream{Git: "file:///srv/src.git"}, "file:///srv/src.git"},
		{Upstream{Git: "git@example.org:src.git"}, "git@example.org:src.git"},
		{Upstream{GitHub: "freebsd/freebsd-src"}, "https://github.com/freebsd/freebsd-src.git"},
	} {
		if got := c.upstream.Remote("/state"); got != c.want {
			t.Errorf("%+v: got %s, want %s", c.upstream, got, c.want)
		}
	}
}

func TestNear(t *testing.T) {
	words := []string{"smoke", "soak", "stress", "os"}
	for word, want := range map[string]string{
		"smoek": "smoke", "Smoke": "smoke", "soack": "soak", "sress": "stress", "so": "os",
		"functional": "", "": "", "xy": "", strings.Repeat("smoke", 100): "",
	} {
		if got := near(word, words); got != want {
			t.Errorf("%.20q: got %q, want %q", word, got, want)
		}
	}
}

func TestLoadFile(t *testing.T) {
	dir := t.TempDir()
	if _, err := Load(filepath.Join(dir, "none.yaml"), rig); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a missing file: %v", err)
	}
	if _, err := Load(dir, rig); err == nil || errors.As(err, new(*Error)) {
		t.Errorf("a folder: %v", err)
	}
	big := filepath.Join(dir, "big.yaml")
	if err := os.WriteFile(big, []byte(strings.Repeat("# padding\n", maxSize/10+1)), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := Load(big, rig)
	wantProblem(t, err, big+":1:1: the file is larger than 1024 KiB")
}

// TestLimits reads files that are small but would become large.
func TestLimits(t *testing.T) {
	many := func(n int, format string) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, format, i)
		}
		return b.String()
	}
	list := func(prefix string) string { return strings.TrimSuffix(many(200, prefix+"%d, "), ", ") }
	cells := "upstreams: {" + many(200, "u%d: {git: x}, ") + "}\ntargets: {" +
		many(200, "t%d: {os: linux, arch: amd64, source: package, kernel: cloud}, ") + "}\nmachines: {" +
		many(200, "m%d: {}, ") + "}\nlayers: {smoke: {suites: [basic]}}\nmatrix:\n" +
		many(50, "# %d\n- {upstreams: ["+list("u")+"], targets: ["+list("t")+"], machines: ["+list("m")+"], layers: [smoke]}\n")
	bomb := "a0: &a0 [x, x]\n"
	for i := range 40 {
		bomb += fmt.Sprintf("a%d: &a%d [*a%d, *a%d]\n", i+1, i+1, i, i)
	}
	for name, c := range map[string]struct{ text, want string }{
		"cells":    {cells, "matrix: expected at most 10000 cells, and there are 8000000 up to this entry"},
		"names":    {"machines: {" + many(300, "m%d: {}, ") + "}", "machines: expected at most 256 entries, found 300"},
		"items":    {"matrix: [" + many(300, "%d, ") + "]", "matrix: expected at most 256 items, found 300"},
		"problems": {many(50_000, "k%d: x\n"), "49005 further problems are not shown"},
		"bomb":     {bomb, "alias *a39: anchors and aliases are not supported"},
		"depth":    {strings.Repeat("[", 100_000), "not valid YAML: exceeded max depth"},
		"word":     {strings.Repeat("k", 900) + ": x", `unknown key "` + strings.Repeat("k", 60) + `…" in the file`},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Parse("test.yaml", []byte(c.text), rig)
			wantProblem(t, err, c.want)
		})
	}
}

// wantProblem checks that an *Error says want.
func wantProblem(t *testing.T, err error, want string) {
	t.Helper()
	bad, ok := errors.AsType[*Error](err)
	if !ok {
		t.Fatalf("got %v: want an *Error", err)
	}
	if len(bad.Problems) > maxProblems+1 {
		t.Errorf("%d problems", len(bad.Problems))
	}
	if !strings.Contains(err.Error(), want) {
		t.Errorf("got %.2000s\nwant %s", err, want)
	}
}
