package console

import "strings"

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
		"Booting [/boot/", "EFI stub:", "Probing EDD", "Decompressing Linux", "GRUB"}},
	{Kernel, []string{"Linux version ", "---<<BOOT>>---", "The FreeBSD Project."}},
	{MountRoot, []string{"Trying to mount root from", "VFS: Cannot open root device", "Waiting for root device"}},
	{Init, []string{"as init process", "start_init: trying", "init: not found"}},
	{Login, []string{"login: "}},
	{Prompt, []string{"mountroot>"}},
	{Debugger, []string{"db> ", "db:0:"}},
}

var phaseTitles = map[Phase]string{
	NoOutput:     "no output at all",
	Unrecognized: "unknown output, no kernel banner",
	Firmware:     "stopped in the firmware",
	Loader:       "stopped in the boot loader",
	Kernel:       "kernel started, no init",
	MountRoot:    "stopped while mounting root",
	Init:         "kernel started, agent silent",
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

// Phases follows a boot through its phases. The zero value is ready. It is not
// safe for concurrent use.
type Phases struct {
	reached Phase
	lines   splitter
}

// Write takes more of the console; it never fails.
func (p *Phases) Write(b []byte) (int, error) {
	p.lines.write(b, p.see)
	return len(b), nil
}

func (p *Phases) see(line string) {
	if ph := phaseOf(line); ph > p.reached && ph < Prompt {
		p.reached = ph
	}
}

// Last returns the last phase reached.
func (p *Phases) Last() Phase {
	last := phaseOf(p.lines.pending())
	if last >= Prompt {
		return last
	}
	return max(p.reached, last, NoOutput)
}

// phaseOf tells which phase a line belongs to, zero for an empty line.
func phaseOf(line string) Phase {
	line = clean(line)
	if strings.TrimSpace(line) == "" {
		return 0
	}
	found := Unrecognized
	for _, m := range phaseMarks {
		for _, w := range m.words {
			if strings.Contains(line, w) {
				found = m.phase
			}
		}
	}
	return found
}
