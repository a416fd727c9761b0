package artifacts

import (
	"archive/tar"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"
)

const (
	// metaSize is what the CI's own scripts give the disk (create-meta.sh).
	metaSize  = 512 << 20
	sector    = 512 // bytes
	agentName = "headwatch-agent"
	endName   = "headwatch.end"
	autoOff   = "auto-shutdown"
	testsDir  = "/usr/tests"
)

// Meta is what the official test image is told to do at its first boot, on a
// second disk. The package comment has the protocol.
//
// The image's script waits for run.sh, and only then writes results: an agent is
// therefore started in the background, and a guest that is powered off through
// the agent before that leaves none.
type Meta struct {
	Size    int64    // bytes of the disk, a multiple of 512; 0: 512 MiB
	Agent   string   // host path of the guest's agent, which is started as a service; empty: none
	Scripts []Script // run by sh -e, in order, before the tests; one that fails ends it all
	// RunTests runs kyua; Filters are its test filters, none meaning everything in
	// TestsDir, which is /usr/tests when empty.
	RunTests bool
	Filters  []string
	TestsDir string
	PowerOff bool // power off when done
	// Marker is 32 hex digits that the results will carry. Empty: new ones, so that
	// nothing that was written before is taken for them.
	Marker Marker
}

// Script is a further shell script, such as the CI's own that disable tests.
type Script struct {
	Name string // of the file, letters, digits and ._- only
	Text string
}

// Marker tells the results of one Meta from everything else on a disk.
type Marker string

var (
	filterPattern = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_./:*+-]*$`)
	dirPattern    = regexp.MustCompile(`^/[A-Za-z0-9_./+-]*$`)
	markerPattern = regexp.MustCompile(`^[0-9a-f]{32}$`)
	reserved      = map[string]bool{"run.sh": true, agentName: true, endName: true, autoOff: true, "results": true}
)

// Write makes the disk at name, a sparse raw image that starts with a tar, and
// returns the marker that its results will have.
func (m Meta) Write(ctx context.Context, name string) (_ Marker, err error) {
	defer func() { err = fault("make meta disk "+name, err) }()
	if m.Size == 0 {
		m.Size = metaSize
	}
	if m.TestsDir == "" {
		m.TestsDir = testsDir
	}
	if err := m.check(); err != nil {
		return "", err
	}
	marker := m.Marker
	if marker == "" {
		raw := make([]byte, 16)
		if _, err := rand.Read(raw); err != nil {
			return "", err
		}
		marker = Marker(hex.EncodeToString(raw))
	}
	f, err := os.Create(name)
	if err != nil {
		return "", err
	}
	err = m.write(ctx, f, marker)
	if err = errors.Join(err, f.Close()); err != nil {
		return "", errors.Join(err, os.Remove(name))
	}
	return marker, nil
}

func (m Meta) check() error {
	if m.Size < 1<<20 || m.Size%sector != 0 {
		return fmt.Errorf("size %d: want at least 1 MiB, and a multiple of %d bytes", m.Size, sector)
	}
	if m.Marker != "" && !markerPattern.MatchString(string(m.Marker)) {
		return fmt.Errorf("marker %q: want 32 hex digits", m.Marker)
	}
	if !dirPattern.MatchString(m.TestsDir) {
		return fmt.Errorf("folder of tests %q: want an absolute path of letters, digits and ._+-", m.TestsDir)
	}
	seen := make(map[string]bool)
	for _, s := range m.Scripts {
		if !namePattern.MatchString(s.Name) || reserved[s.Name] || seen[s.Name] {
			return fmt.Errorf("script %q: want a file's name that nothing else has", s.Name)
		}
		seen[s.Name] = true
	}
	for _, f := range m.Filters {
		if !filterPattern.MatchString(f) {
			return fmt.Errorf("filter %q: want one of kyua's, as sys/netinet or bin/cat/cat_test:align", f)
		}
	}
	return nil
}

// write makes a plain ustar archive, for file(1) in the guest must know it.
func (m Meta) write(ctx context.Context, f *os.File, marker Marker) error {
	if err := f.Truncate(m.Size); err != nil {
		return err
	}
	w := tar.NewWriter(f)
	if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: "./", Mode: 0o755, Format: tar.FormatUSTAR}); err != nil {
		return err
	}
	texts := append([]Script{{"run.sh", m.script(marker)}}, m.Scripts...)
	if m.PowerOff {
		texts = append(texts, Script{autoOff, ""})
	}
	for _, s := range texts {
		if err := addFile(w, s.Name, 0o644, int64(len(s.Text)), strings.NewReader(s.Text)); err != nil {
			return err
		}
	}
	if m.Agent != "" {
		if err := addAgent(ctx, w, m.Agent); err != nil {
			return err
		}
	}
	if err := w.Close(); err != nil {
		return err
	}
	end, err := f.Seek(0, io.SeekCurrent)
	if err == nil && end > m.Size {
		err = fmt.Errorf("%d bytes do not fit on a disk of %d: make it larger", end, m.Size)
	}
	return err
}

func addFile(w *tar.Writer, name string, mode, size int64, content io.Reader) error {
	h := &tar.Header{Typeflag: tar.TypeReg, Name: "./" + name, Mode: mode, Size: size, Format: tar.FormatUSTAR}
	if err := w.WriteHeader(h); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if _, err := io.Copy(w, content); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

func addAgent(ctx context.Context, w *tar.Writer, path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return err
	}
	return addFile(w, agentName, 0o755, st.Size(), &ctxReader{ctx, f})
}

// script is run.sh, which the image runs with sh -ex.
func (m Meta) script(marker Marker) string {
	var b strings.Builder
	b.WriteString(scriptHead)
	if m.Agent != "" {
		b.WriteString(scriptAgent)
	}
	for _, s := range m.Scripts {
		fmt.Fprintf(&b, "sh -e \"$meta/%s\"\n", s.Name)
	}
	if m.RunTests {
		filters := ""
		for _, f := range m.Filters {
			filters += " '" + f + "'"
		}
		fmt.Fprintf(&b, scriptTests, m.TestsDir, filters)
	}
	fmt.Fprintf(&b, scriptEnd, marker)
	return b.String()
}

const scriptHead = `#!/bin/sh
# Made by headwatch. The test image runs it at its first boot: sh -ex /meta/run.sh
meta=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$meta/results"
`

// scriptAgent hands the agent no terminal and no hang-up: rc(8) ends before it. The
// agent's channel needs a driver that GENERIC has as a module only.
const scriptAgent = `chmod 755 "$meta/headwatch-agent"
kldload -n virtio_console || :
(trap '' HUP; exec "$meta/headwatch-agent") </dev/null &
`

// scriptTests knows that kyua exits with 1 when tests failed, and with anything
// else when it did not run them.
const scriptTests = `cd '%s'
status=0
kyua test%s || status=$?
echo "$status" >"$meta/results/kyua.status"
if [ "$status" -le 1 ]; then
	kyua report --verbose --results-filter passed,skipped,xfail,broken,failed --output "$meta/results/test-report.txt"
	kyua report-junit --output="$meta/results/test-report.xml"
fi
`

// scriptEnd says what is complete. FreeBSD before 14 has no sha256sum.
const scriptEnd = `cd "$meta/results"
digest() { sha256sum "$1" 2>/dev/null || sha256 -r "$1"; }
echo 'headwatch %s' >"$meta/headwatch.tmp"
for f in *; do
	if [ -f "$f" ]; then digest "$f" >>"$meta/headwatch.tmp"; fi
done
cd "$meta"
mv headwatch.tmp headwatch.end
`
