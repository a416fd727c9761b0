package artifacts

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/headwatch/headwatch/runners"
)

const metaTestSize = 2 << 20 // bytes

// guest does to the disk what the image's freebsdci script does, with the host's
// sh and tar. /meta is a folder of the test's.
type guest struct {
	t    *testing.T
	disk string
	meta string
	path string // folder of programs that go before the host's
}

func newGuest(t *testing.T, m Meta) (*guest, Marker) {
	t.Helper()
	for _, tool := range []string{"tar", "sh", "sha256sum", "dd"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("%s is not installed", tool)
		}
	}
	dir := t.TempDir()
	g := &guest{t: t, disk: filepath.Join(dir, "meta.img"), meta: filepath.Join(dir, "meta"), path: filepath.Join(dir, "bin")}
	if err := errors.Join(os.Mkdir(g.meta, 0o755), os.Mkdir(g.path, 0o755)); err != nil {
		t.Fatal(err)
	}
	m.Size = metaTestSize
	marker, err := m.Write(t.Context(), g.disk)
	if err != nil {
		t.Fatal(err)
	}
	return g, marker
}

func (g *guest) run(name string, args ...string) error {
	cmd := exec.CommandContext(g.t.Context(), name, args...)
	cmd.Env = append(os.Environ(), "PATH="+g.path+":"+os.Getenv("PATH"))
	out, err := cmd.CombinedOutput()
	g.t.Logf("%s %q: %v\n%s", name, args, err, out)
	return err
}

// boot returns what run.sh ended with, which the image ignores.
func (g *guest) boot() error {
	g.t.Helper()
	if err := g.run("tar", "xf", g.disk, "-C", g.meta); err != nil {
		g.t.Fatal(err)
	}
	return g.run("sh", "-ex", filepath.Join(g.meta, "run.sh"))
}

// writeBack leaves the rest of the disk as it is, as a device does.
func (g *guest) writeBack() {
	g.t.Helper()
	tarball := g.meta + ".tar"
	if err := errors.Join(g.run("tar", "cf", tarball, "-C", g.meta, "."),
		g.run("dd", "if="+tarball, "of="+g.disk, "conv=notrunc", "status=none")); err != nil {
		g.t.Fatal(err)
	}
}

// kyua puts a stand-in for kyua in the guest's path: the real one runs only
// there. It takes the arguments that the CI's run-kyua.sh gives, and its test
// command exits as told.
func (g *guest) kyua(status string) {
	g.t.Helper()
	script := `#!/bin/sh
case "$1" in
test) shift; for a; do echo "ran $a"; done >ran.db; exit ` + status + ` ;;
report) shift; [ "$1 $2" = "--verbose --results-filter" ] && [ "$4" = --output ] && cat ran.db >"$5" ;;
report-junit) echo "<testsuite/>" >"${2#--output=}" ;;
esac
`
	if err := os.WriteFile(filepath.Join(g.path, "kyua"), []byte(script), 0o755); err != nil {
		g.t.Fatal(err)
	}
}

func (g *guest) results(m Marker) (map[string]string, error) {
	g.t.Helper()
	dir := g.t.TempDir()
	names, err := ReadResults(g.t.Context(), g.disk, m, dir)
	left, readErr := os.ReadDir(dir)
	if readErr != nil || len(left) != len(names) {
		g.t.Errorf("%d files in the folder, %d named, %v", len(left), len(names), readErr)
	}
	got := make(map[string]string)
	for _, n := range names {
		b, err := os.ReadFile(filepath.Join(dir, n))
		if err != nil {
			g.t.Error(err)
		}
		got[n] = string(b)
	}
	return got, err
}

func TestMetaRoundTrip(t *testing.T) {
	for _, status := range []string{"0", "1"} {
		g, marker := newGuest(t, Meta{RunTests: true, TestsDir: t.TempDir(), Filters: []string{"sys/netinet", "bin/cat/cat_test:align"}, PowerOff: true,
			Scripts: []Script{{"disable.sh", "echo disabled >\"$(dirname \"$0\")/results/extra.txt\"\n"}}})
		g.kyua(status)
		if err := g.boot(); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(filepath.Join(g.meta, "auto-shutdown")); err != nil {
			t.Errorf("the image would not power off: %v", err)
		}
		if _, err := g.results(marker); !errors.Is(err, ErrNoResults) {
			t.Errorf("before it wrote back: %v", err)
		}
		g.writeBack()
		got, err := g.results(marker)
		want := map[string]string{"kyua.status": status + "\n", "test-report.xml": "<testsuite/>\n", "extra.txt": "disabled\n",
			"test-report.txt": "ran sys/netinet\nran bin/cat/cat_test:align\n"}
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("%v, results (-want +got):\n%s", err, diff)
		}
		if _, err := g.results("another"); !errors.Is(err, ErrNoResults) || !strings.Contains(err.Error(), "of another run") {
			t.Errorf("results of another run: %v", err)
		}
	}
}

func TestMetaWhenKyuaBreaks(t *testing.T) {
	g, marker := newGuest(t, Meta{RunTests: true, TestsDir: t.TempDir()})
	g.kyua("3")
	if err := g.boot(); err != nil {
		t.Fatal(err)
	}
	g.writeBack()
	got, err := g.results(marker)
	if diff := cmp.Diff(map[string]string{"kyua.status": "3\n"}, got); diff != "" || err != nil {
		t.Errorf("%v, results (-want +got):\n%s", err, diff)
	}
}

// TestMetaWhenAScriptFails: the image writes back whatever run.sh came to.
func TestMetaWhenAScriptFails(t *testing.T) {
	g, marker := newGuest(t, Meta{Scripts: []Script{{"fail.sh", "echo x >\"$(dirname \"$0\")/results/extra.txt\"\nfalse\n"}}})
	if err := g.boot(); err == nil {
		t.Error("run.sh succeeded")
	}
	g.writeBack()
	if _, err := g.results(marker); !errors.Is(err, ErrNoResults) || !strings.Contains(err.Error(), "not run to its end") {
		t.Errorf("%v", err)
	}
}

// TestMetaStartsTheAgent: in the background, with no terminal, and run.sh ends
// before it.
func TestMetaStartsTheAgent(t *testing.T) {
	agent := filepath.Join(t.TempDir(), "agent")
	const text = "#!/bin/sh\nread x <&0 || echo no input >\"$0.said\"\n"
	if err := os.WriteFile(agent, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	g, marker := newGuest(t, Meta{Agent: agent})
	if err := g.boot(); err != nil { // returns when the agent has closed the output
		t.Fatal(err)
	}
	if said, err := os.ReadFile(filepath.Join(g.meta, "headwatch-agent.said")); string(said) != "no input\n" || err != nil {
		t.Errorf("the agent said %q, %v", said, err)
	}
	g.writeBack()
	if got, err := g.results(marker); len(got) > 0 || err != nil {
		t.Errorf("%v, %v: want no files and no error", got, err)
	}
}

func TestMetaIsWhatTheImageLooksFor(t *testing.T) {
	g, _ := newGuest(t, Meta{PowerOff: true})
	st, err := os.Stat(g.disk)
	if err != nil || st.Size() != metaTestSize || allocated(t, g.disk) > 64<<10 {
		t.Errorf("%v, %v: want %d sparse bytes", st, err, metaTestSize)
	}
	if _, err := exec.LookPath("file"); err != nil {
		t.Skip("file is not installed")
	}
	out, err := exec.CommandContext(t.Context(), "file", "-s", g.disk).Output()
	if err != nil || !strings.Contains(string(out), "POSIX tar archive") {
		t.Errorf("file(1) says %s, %v", out, err)
	}
}

func TestMetaRefuses(t *testing.T) {
	agent := filepath.Join(t.TempDir(), "agent")
	if err := os.WriteFile(agent, noise(1, 3<<20), 0o644); err != nil {
		t.Fatal(err)
	}
	for says, m := range map[string]Meta{
		"multiple of 512":    {Size: 1<<20 + 1},
		"at least 1 MiB":     {Size: 512},
		"filter":             {Filters: []string{"'; rm -rf /"}},
		"filter \"-":         {Filters: []string{"--loose"}},
		"script":             {Scripts: []Script{{"run.sh", ""}}},
		"nothing else has":   {Scripts: []Script{{"a", ""}, {"a", ""}}},
		"folder of tests":    {TestsDir: "/usr/tests'"},
		"no such file":       {Agent: agent + ".not"},
		"bytes do not fit":   {Size: 2 << 20, Agent: agent},
		"script \"../evil\"": {Scripts: []Script{{"../evil", ""}}},
	} {
		name := filepath.Join(t.TempDir(), "meta.img")
		_, err := m.Write(t.Context(), name)
		var infra *runners.InfraError
		if !errors.As(err, &infra) || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: %v", says, err)
		}
		if _, err := os.Stat(name); err == nil {
			t.Errorf("%q: left a disk", says)
		}
	}
}
