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
	// hearTime bounds how long a guest that hangs is looked at and, after it was
	// interrupted, heard.
	hearTime = 40 * time.Second
	// answerTime is how long it may take until it begins to speak, and how long it
	// must be silent until it has said all.
	answerTime = 4 * time.Second
	// Registers are looked at so often.
	samples     = 10
	samplePause = 300 * time.Millisecond
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
// writes a report on the console, of which the recognizer makes a crash: where its CPUs
// are, before anything disturbs them, and what the kernel and its debugger say to a
// non-maskable interrupt. That is answered by any CPU, which may be one that idles while
// another one spins.
// what says how the hang showed, title first, and how how it can be asked. ctx ends it
// early.
func (v *vm) investigate(ctx context.Context, what string, how asking) {
	ctx, cancel := context.WithTimeout(ctx, hearTime)
	defer cancel()
	v.ear.catchUp()
	before, last := v.voice.heard()
	alive := "the console is silent"
	if quiet := time.Since(last); before > 0 && quiet < v.quiet {
		alive = "the console is not"
	}
	v.remark(fmt.Sprintf("%s%s; %s", console.HangMark, what, alive))
	for _, line := range v.registers(ctx) {
		v.remark(line)
	}
	v.ask(ctx, how)
	v.remark(console.HangEnd)
}

// asking is how a guest that hangs can be asked. The zero value is invalid.
type asking int

const (
	byRegisters asking = 1 + iota // there is no kernel yet
	byInterrupt                   // a non-maskable one
	byDebugger                    // it is at its prompt
)

// ask has the guest say why it hangs, or says that it said nothing.
func (v *vm) ask(ctx context.Context, how asking) {
	v.ear.catchUp()
	before, _ := v.voice.heard()
	switch how {
	case byInterrupt:
		if err := v.monitor.run(ctx, "inject-nmi"); err != nil {
			v.remark("no interrupt: " + err.Error())
		}
		if !v.listenOn(ctx, before, false) {
			v.remark("no word to a non-maskable interrupt")
		}
	case byDebugger:
		v.command(ctx)
		if !v.listenOn(ctx, before, true) {
			v.remark("no word from the debugger")
		}
	}
}

// debugger has commands of ddb(4): without pauses, what a maintainer asks first.
const debugger = "set $lines = 0\rbt\rshow pcpu\rshow alllocks\rps\ralltrace\r"

// command types to the debugger.
func (v *vm) command(ctx context.Context) {
	stop := context.AfterFunc(ctx, func() { v.console.SetWriteDeadline(past) })
	defer stop()
	if _, err := v.console.Write([]byte(debugger)); err != nil {
		v.remark("nothing could be typed: " + err.Error())
	}
}

// listenOn waits until the kernel has spoken and is silent again, or has ended. It
// returns false when there was nothing to hear. typed says that the debugger has its
// commands; else it gets them where its prompt comes up.
func (v *vm) listenOn(ctx context.Context, before int64, typed bool) bool {
	asked := time.Now()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		v.ear.catchUp()
		if !typed && v.phases.last() == console.Debugger {
			typed = true // the interrupt led there, and no script of the agent's took over
			v.command(ctx)
		}
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

// registers samples where each CPU is, and says for each where it was most often.
func (v *vm) registers(ctx context.Context) []string {
	var out []string
	var seen []map[string]int // by CPU
	pause := time.NewTicker(samplePause)
	defer pause.Stop()
	for range samples {
		text, err := v.monitor.human(ctx, "info registers -a")
		if err != nil {
			return append(out, "registers: "+err.Error())
		}
		cpus := whereabouts(text)
		if cpus == nil {
			return append(out, "registers: QEMU names no CPU")
		}
		out = append(out, strings.Join(cpus, "; "))
		for i, at := range cpus {
			if i == len(seen) {
				seen = append(seen, map[string]int{})
			}
			seen[i][at]++
		}
		select {
		case <-pause.C:
		case <-ctx.Done():
			return out
		}
	}
	for _, places := range seen {
		out = append(out, mostly(places))
	}
	return out
}

// mostly is where a CPU was most often, and how often.
func mostly(places map[string]int) string {
	sum, at := 0, ""
	for place, n := range places {
		sum += n
		if m := places[at]; n > m || n == m && place < at {
			at = place
		}
	}
	return fmt.Sprintf("%s (%d of %d)", at, places[at], sum)
}

var (
	cpuHead    = regexp.MustCompile(`(?m)^CPU#(\d+)`)
	cpuProgram = regexp.MustCompile(`\b[RE]IP=([0-9a-f]{8,16})`)
	cpuFlags86 = regexp.MustCompile(`\b[RE]FL=([0-9a-f]{8})`)
	cpuUser    = regexp.MustCompile(`\bCPL=3\b`)
	cpuHalted  = regexp.MustCompile(`\bHLT=1`)
)

// whereabouts tells of QEMU's "info registers -a" for each CPU its program counter,
// whether it takes interrupts, runs a process, and waits for an interrupt.
func whereabouts(text string) (cpus []string) {
	heads := cpuHead.FindAllStringSubmatchIndex(text, -1)
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
		if cpuUser.MatchString(part) {
			s += " in user mode"
		}
		if cpuHalted.MatchString(part) {
			s += ", halted"
		}
		cpus = append(cpus, s)
	}
	return cpus
}
