package qemu

import (
	"context"
	"fmt"
	"io"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/headwatch/headwatch/runners/console"
)

const (
	// hearTime bounds how long a kernel that hangs is heard after it was interrupted.
	hearTime = 30 * time.Second
	// answerTime is how long it may take until it begins to speak, and how long it
	// must be silent until it has said all.
	answerTime = 4 * time.Second
	// Registers are looked at so often when it says nothing.
	samples     = 5
	samplePause = 200 * time.Millisecond
	maxSample   = 256 << 10 // bytes of QEMU's answer
)

// voice tells what was said on a console, and when last.
type voice struct {
	to io.Writer

	mu    sync.Mutex
	bytes int64
	last  time.Time
}

func (v *voice) Write(p []byte) (int, error) {
	v.mu.Lock()
	v.bytes, v.last = v.bytes+int64(len(p)), time.Now()
	v.mu.Unlock()
	return v.to.Write(p)
}

func (v *voice) heard() (bytes int64, last time.Time) {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.bytes, v.last
}

// investigate finds out why a guest has stopped answering, before it is killed. It
// writes a report on the console, of which the recognizer makes a crash: what the
// kernel and its debugger say to a non-maskable interrupt, or else where its CPUs are.
// what says how the hang showed. ctx ends it early.
func (v *vm) investigate(ctx context.Context, what string) {
	ctx, cancel := context.WithTimeout(ctx, hearTime)
	defer cancel()
	v.ear.catchUp()
	before, last := v.voice.heard()
	alive := "the console is silent"
	if quiet := time.Since(last); before > 0 && quiet < v.quiet {
		alive = "the console is not"
	}
	v.remark(fmt.Sprintf("%s%s; %s", console.HangMark, what, alive))
	if err := v.monitor.run(ctx, "inject-nmi"); err != nil {
		v.remark("no interrupt: " + err.Error())
	}
	if !v.listenOn(ctx, before) {
		v.remark("no word to a non-maskable interrupt; registers:")
		for _, line := range v.registers(ctx) {
			v.remark(line)
		}
	}
	v.remark(console.HangEnd)
}

// listenOn waits until the kernel has spoken and is silent again, or has ended. It
// returns false when there was nothing to hear.
func (v *vm) listenOn(ctx context.Context, before int64) bool {
	asked := time.Now()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		v.ear.catchUp()
		said, last := v.voice.heard()
		since := last
		if said == before {
			since = asked
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return said > before
		case <-v.monitor.ended:
			v.ear.catchUp()
			said, _ = v.voice.heard()
			return said > before
		}
		if time.Since(since) > answerTime {
			return said > before
		}
	}
}

// remark writes a line of ours on the console.
func (v *vm) remark(line string) {
	_, _ = v.voice.to.Write([]byte("\n" + line + "\n"))
}

// registers samples where each CPU is.
func (v *vm) registers(ctx context.Context) []string {
	var out []string
	pause := time.NewTicker(samplePause)
	defer pause.Stop()
	for range samples {
		text, err := v.monitor.human(ctx, "info registers -a")
		if err != nil {
			return append(out, "registers: "+err.Error())
		}
		out = append(out, whereabouts(text))
		select {
		case <-pause.C:
		case <-ctx.Done():
			return out
		}
	}
	return out
}

var (
	cpuHead    = regexp.MustCompile(`(?m)^CPU#(\d+)`)
	cpuProgram = regexp.MustCompile(`\b[RE]IP=([0-9a-f]{8,16})`)
	cpuFlags86 = regexp.MustCompile(`\b[RE]FL=([0-9a-f]{8})`)
	cpuHalted  = regexp.MustCompile(`\bHLT=1`)
)

// whereabouts makes one line of QEMU's "info registers -a": for each CPU its program
// counter, whether it takes interrupts, and whether it waits for one.
func whereabouts(text string) string {
	heads := cpuHead.FindAllStringSubmatchIndex(text, -1)
	var cpus []string
	for i, h := range heads {
		end := len(text)
		if i+1 < len(heads) {
			end = heads[i+1][0]
		}
		part, id := text[h[0]:end], text[h[2]:h[3]]
		at := cpuProgram.FindStringSubmatch(part)
		if at == nil {
			continue
		}
		s := "cpu" + id + " at 0x" + at[1]
		if f := cpuFlags86.FindStringSubmatch(part); f != nil {
			var flags uint64
			if _, err := fmt.Sscanf(f[1], "%x", &flags); err == nil && flags&(1<<9) == 0 {
				s += " with interrupts off"
			}
		}
		if cpuHalted.MatchString(part) {
			s += ", halted"
		}
		cpus = append(cpus, s)
	}
	if cpus == nil {
		return "registers: QEMU names no CPU"
	}
	return strings.Join(cpus, "; ")
}
