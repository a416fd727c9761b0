package qemu_test

import (
	"bytes"
	"context"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/headwatch/headwatch/runners"
	"github.com/headwatch/headwatch/runners/console"
	"github.com/headwatch/headwatch/runners/qemu"
	"github.com/headwatch/headwatch/runners/runnertest"
)

// The far ends of a clone's serial lines: what it says is recorded, what the host types
// arrives, a line that nobody drains stops its writer, and lines come and go.
func TestSerialLines(t *testing.T) {
	if _, err := exec.LookPath(qemu.DefaultBinary); err != nil {
		t.Skipf("%v: run make setup", err)
	}
	spec := runners.Spec{SMP: 2, Memory: 256, Accel: "auto", Lines: []string{"uart", "virtio"}, Dir: t.TempDir(), ConsoleLog: console.New(console.Options{})}
	template, err := qemu.New(qemu.Config{NoSpare: true}).Template(t.Context(), runnertest.LinuxGuest(t), spec)
	if err != nil {
		t.Fatal(err)
	}
	defer template.Close()
	m, err := template.Start(t.Context(), runners.Start{Dir: t.TempDir(), ConsoleLog: console.New(console.Options{})})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	serial := m.(runners.Serial)
	if got := serial.Lines(); !slices.Equal(got, []string{"console", "uart", "virtio"}) {
		t.Fatalf("lines %v", got)
	}
	devices := map[string]string{"console": "/dev/ttyS0", "uart": "/dev/ttyS1", "virtio": "/dev/hvc0"}
	for line, device := range devices {
		t.Run(line, func(t *testing.T) { testLine(t, m, line, device) })
	}
	t.Run("hold", func(t *testing.T) { testHold(t, m, "uart", "/dev/ttyS1") })
	t.Run("switch", func(t *testing.T) {
		for range 3 {
			if err := serial.Switch(t.Context(), "virtio"); err != nil {
				t.Fatal(err)
			}
			testLine(t, m, "virtio", "/dev/hvc0")
		}
	})
	t.Run("unplug", func(t *testing.T) {
		if err := serial.Unplug(t.Context(), "virtio"); err != nil {
			t.Fatal(err)
		}
		await(t, func() bool { return write(t, m, "/dev/hvc0", "x", 1) != nil })
		if err := serial.Plug(t.Context(), "virtio"); err != nil {
			t.Fatal(err)
		}
		await(t, func() bool { return write(t, m, "/dev/hvc0", "x", 1) == nil })
	})
	t.Run("break", func(t *testing.T) {
		if err := serial.Break(t.Context(), "uart"); err != nil {
			t.Error(err)
		}
	})
	t.Run("mistakes", func(t *testing.T) {
		for want, err := range map[string]error{
			`line "tape": the machine has console, uart, virtio`: serial.Break(t.Context(), "tape"),
			"only a UART's line can be broken":                   serial.Break(t.Context(), "virtio"),
			"only virtio lines can be unplugged":                 serial.Unplug(t.Context(), "uart"),
			"crashes are found in what it says":                  serial.Switch(t.Context(), "console"),
		} {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%v, want %q", err, want)
			}
		}
	})
	if crashes := m.Crashes(); len(crashes) > 0 {
		t.Errorf("crashes: %v", crashes)
	}
}

// testLine has the guest say something, and what it hears.
func testLine(t *testing.T, m runners.Machine, line, device string) {
	t.Helper()
	serial := m.(runners.Serial)
	take, stop, err := serial.Record(line, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	if err := write(t, m, device, "said by the guest\n", 1); err != nil {
		t.Fatal(err)
	}
	var heard []byte
	await(t, func() bool {
		heard = append(heard, take()...)
		return bytes.Contains(heard, []byte("said by the guest\r\n"))
	})
	answer := make(chan string, 1)
	go func() {
		var line string
		if err := m.Call(t.Context(), "test/readline", device, &line); err != nil {
			line = err.Error()
		}
		answer <- line
	}()
	// Whoever opens a line first throws away what came before, so it is typed until it
	// is answered.
	for {
		if err := serial.Type(t.Context(), line, []byte("typed by the host\n")); err != nil {
			t.Fatal(err)
		}
		select {
		case got := <-answer:
			if !strings.HasSuffix(got, "by the host\n") {
				t.Errorf("the guest read %q", got)
			}
			return
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// testHold lets a writer run into a line that nobody drains.
func testHold(t *testing.T, m runners.Machine, line, device string) {
	serial := m.(runners.Serial)
	release, err := serial.Hold(line)
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	take, stop, err := serial.Record(line, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	const size = 384 << 10 // more than a socket and QEMU hold
	done := make(chan error, 1)
	go func() { done <- write(t, m, device, "held up\n", size/8) }()
	select {
	case err := <-done:
		t.Fatalf("%d bytes went through a line that nobody drains: %v", size, err)
	case <-time.After(time.Second):
	}
	release()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	var heard int // ends of lines: one byte cannot be cut
	await(t, func() bool {
		heard += bytes.Count(take(), []byte("\n"))
		return heard == size/8
	})
	if lost := stop(); lost > 0 {
		t.Errorf("%d bytes lost", lost)
	}
}

func write(t *testing.T, m runners.Machine, device, text string, times int) error {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	return m.Call(ctx, "test/write", map[string]any{"path": device, "text": text, "times": times}, nil)
}

// await asks again and again, for a minute.
func await(t *testing.T, so func() bool) {
	t.Helper()
	limit := time.After(time.Minute)
	for !so() {
		select {
		case <-limit:
			t.Fatal("not within a minute")
		case <-time.After(20 * time.Millisecond):
		}
	}
}
