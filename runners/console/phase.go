package console

import (
	"strings"
	"sync"
)

// Phase says how far a boot came. The zero value is invalid.
type Phase int

// The phases of a boot, in order.
const (
	_            Phase = iota
	NoOutput           // nothing was said
	Unrecognized       // something was said that is no known phase
	Firmware
	Loader
	Kernel    // the kernel printed its banner
	MountRoot // it looks for its root file system
	Init      // it started the first process
	Agent     // which is our agent, with nothing of a system before it
	Login     // userland asks who is there
	Prompt    // it stopped at mountroot> and waits for an answer
	Debugger  // it stopped at the kernel debugger's prompt
)

// phaseMarks are the words by which a phase is known. A prompt counts only while
// it is the last thing said.
var phaseMarks = []struct {
	phase Phase
	words []string
}{
	{Firmware, []string{"SeaBIOS (", "UEFI firmware", "BdsDxe:", "Booting from Hard Disk", "Booting from ROM"}},
	{Loader, []string{"FreeBSD EFI boot block", "FreeBSD/x86 boot", "FreeBSD/amd64 EFI loader", "Loading /boot/", "Loading kernel...",
		"Booting [/boot/", "EFI stub:", "Probing EDD", "Decompressing Linux", "GNU GRUB", "GRUB loading"}},
	{Kernel, []string{"Linux version ", "KDB: debugger backends:", "---<<BOOT>>---", "The FreeBSD Project."}},
	{MountRoot, []string{"Trying to mount root from", "Root mount waiting for:", "mountroot: waiting for device", "VFS: Cannot open root device", "Waiting for root device"}},
	// Only a verbose FreeBSD says that it starts a first process; the process does: rc(8),
	// a shell, or our agent.
	{Init, []string{"as init process", "start_init: trying", "init: not found", "Setting hostuuid:", "Setting hostname: ", "Enter full pathname of shell"}},
	{Agent, []string{"headwatch-agent: first process"}},
	{Login, []string{"login: "}},
	{Prompt, []string{"mountroot>"}},
	{Debugger, []string{"db:0:kdb"}}, // and "db> ", which is too short for the filter
}

var phaseTitles = map[Phase]string{
	NoOutput:     "no output at all",
	Unrecognized: "unknown output, no kernel banner",
	Firmware:     "stopped in the firmware",
	Loader:       "stopped in the boot loader",
	Kernel:       "kernel started, no init",
	MountRoot:    "stopped while mounting root",
	Init:         "kernel started, agent silent",
	Agent:        "agent started, and is silent",
	Login:        "userland is up, agent silent",
	Prompt:       "stopped at mountroot>",
	Debugger:     "stopped at db>",
}

// Title is what a boot that ended in this phase is called.
func (p Phase) Title() string {
	if t, ok := phaseTitles[p]; ok {
		return t
	}
	return "invalid phase"
}

var phasePlaces = map[Phase]string{
	NoOutput:     "before any output",
	Unrecognized: "before the kernel's banner",
	Firmware:     "in the firmware",
	Loader:       "in the boot loader",
	Kernel:       "in the kernel, before init",
	MountRoot:    "while mounting root",
	Init:         "in userland, before the agent",
	Agent:        "in userland, at the agent's start",
	Login:        "in userland, after its login prompt",
	Prompt:       "at mountroot>",
	Debugger:     "at db>",
}

// Where says in which phase something happened, after a verb.
func (p Phase) Where() string {
	if w, ok := phasePlaces[p]; ok {
		return w
	}
	return "in an invalid phase"
}

// Phases follows a boot through its phases. The zero value is ready. It is not
// safe for concurrent use.
type Phases struct {
	reached Phase
	lines   lines
}

// marks finds the words of phaseMarks.
var marks = sync.OnceValue(func() *filter { return newFilter(literals()) })

// Write takes more of the console; it never fails.
func (p *Phases) Write(b []byte) (int, error) {
	p.lines.write(b, marks(), p)
	return len(b), nil
}

// eager: until something was said every line counts.
func (p *Phases) eager() bool { return p.reached == 0 }

func (p *Phases) line(raw []byte, _ int64) { p.see(clean(string(raw))) }

// see takes a line that clean has made fit.
func (p *Phases) see(line string) {
	if ph := phaseOf(line); ph > p.reached && ph < Prompt {
		p.reached = ph
	}
}

// Last returns the last phase reached.
func (p *Phases) Last() Phase { return p.last(p.lines.buf) }

// last returns the phase with what is said of the line under way.
func (p *Phases) last(pending []byte) Phase {
	last := phaseOf(clean(string(pending)))
	if last >= Prompt {
		return last
	}
	return max(p.reached, last, NoOutput)
}

// phaseOf tells which phase a line that clean has made fit belongs to, zero for an
// empty line.
func phaseOf(line string) Phase {
	if strings.TrimSpace(line) == "" {
		return 0
	}
	found := Unrecognized
	for _, m := range phaseMarks {
		if containsAny(line, m.words) {
			found = m.phase
		}
	}
	if strings.HasPrefix(line, "db> ") {
		return Debugger
	}
	return found
}
