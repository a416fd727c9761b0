package main

import "golang.org/x/sys/unix"

// debuggerScript is what the kernel's debugger prints when it is entered, and then it
// resets the machine: nobody sits at its prompt. A script has at most 127 bytes
// (sys/ddb/ddb.h).
const debuggerScript = "set $lines=0; set $maxwidth=0; bt; show pcpu; show alllocks; ps; alltrace; reset"

// setDebugger tells the kernel's debugger what to print after a panic and after an
// interrupt from outside, which gives no reason and so takes the default script. Only
// then a panic may enter it. A kernel without a debugger is left as it is.
func setDebugger() step {
	const what = "debugger scripts"
	if _, err := unix.SysctlRaw("debug.ddb.scripting.scripts"); err != nil {
		return did(what+": no debugger", nil)
	}
	for _, why := range []string{"kdb.enter.panic", "kdb.enter.default"} {
		if err := putSysctl("debug.ddb.scripting.script", append([]byte(why+"="+debuggerScript), 0)); err != nil {
			return did(what, err)
		}
	}
	return did(what, setSysctl("debug.debugger_on_panic", "1"))
}
