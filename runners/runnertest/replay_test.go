package runnertest

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/headwatch/headwatch/runners"
	"github.com/headwatch/headwatch/runners/console"
)

// The recording is made, and compared with a real machine, by runners/qemu's
// tests.
const recording = "testdata/linux.jsonl"

func TestReplayKeepsTheContract(t *testing.T) {
	r, err := LoadReplay(recording)
	if err != nil {
		t.Fatal(err)
	}
	replay := func(t *testing.T) (runners.Runner, runners.Bootable, runners.Spec) {
		return r, runners.Bootable{Image: runners.Image{OS: "linux", Arch: "amd64"}},
			runners.Spec{SMP: 2, Memory: 256, Accel: "auto", Dir: t.TempDir(), ConsoleLog: console.New(console.Options{})}
	}
	Run(t, replay)
	for _, way := range Ways {
		t.Run(string(way), func(t *testing.T) { Conform(t, replay, way, true) })
	}
}

func TestRecordingNamesNobody(t *testing.T) {
	b, err := os.ReadFile(recording)
	if err != nil {
		t.Fatal(err)
	}
	for _, word := range []string{os.TempDir() + "/", "/root/", "/home/"} {
		if strings.Contains(string(b), word) {
			t.Errorf("the recording holds %q", word)
		}
	}
}

func TestLoadReplayRejectsWhatIsNoRecording(t *testing.T) {
	for name, text := range map[string]string{"empty": "", "text": "hello\n", "unknown field": `{"boots":{}}` + "\n"} {
		path := filepath.Join(t.TempDir(), "r.jsonl")
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := LoadReplay(path); err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
