package console

// goroutine is what the Go runtime prints below its own "panic:".
var goroutine = re(`^goroutine \d+ .*\[.*\]:$`)

// AgentDeath tells how a Go program died whose last words are in text, empty
// when none did. Such a death is the agent's fault, not the kernel's, even when
// the kernel panics because the program was its init.
func AgentDeath(text string) string {
	s := NewScanner()
	s.Write([]byte(text + "\n"))
	return s.ended().agentDeath
}

// AgentEnd tells how the agent ended according to text, in the words of the
// process that started it and now powers off; empty when it did not. A kernel
// that kills the agent says so in a crash of its own; without one the end is the
// agent's own fault.
func AgentEnd(text string) string {
	if m := agentEnd.FindStringSubmatch(text); m != nil {
		return m[1]
	}
	return ""
}

var agentEnd = re(`headwatch-agent: ([^\r\n]{1,200}); powering off without an end marker`)
