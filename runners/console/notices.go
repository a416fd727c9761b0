package console

import "github.com/headwatch/headwatch/runners"

// noticePatterns are single lines that are worth knowing and are by themselves no
// evidence against the kernel: a load can cause them, or a reboot, or the console
// of a healthy boot.
func noticePatterns() []pattern {
	const (
		boot, debugger, dump, reset = runners.KindBoot, runners.KindDebugger, runners.KindDump, runners.KindReset
		network, shortage           = runners.KindNetwork, runners.KindShortage
	)
	row := func(k runners.Kind, hint, find, as string) pattern {
		return pattern{kind: k, hints: []string{hint}, find: re(find), as: as}
	}
	leaves := func(hint, find, as string) pattern {
		p := row(reset, hint, find, as)
		p.leaves = true
		return p
	}
	return []pattern{
		// vfs_mountroot.c, getty.
		row(boot, "Trying to mount root from", `Trying to mount root from (\S*)`, "Trying to mount root from $1"),
		row(boot, "Mounting from ", `(Mounting from \S+ failed with error \d+)`, ""),
		row(boot, "Root mount waiting for:", `(Root mount waiting for:.*)`, ""),
		row(boot, "mountroot>", `^mountroot>`, "mountroot> prompt: no root file system"),
		row(boot, "login: ", `^(?:.* )?login: `, "login prompt"),
		// subr_kdb.c, db_main.c, db_thread.c.
		row(debugger, "KDB: enter: ", `(KDB: enter: .*)`, ""),
		row(debugger, "KDB: reentering", `KDB: reentering`, "KDB: reentering"),
		row(debugger, "KDB: panic", `^KDB: panic`, "KDB: panic"),
		row(debugger, "Stopped at", `^(Stopped at)\s+([\w.]+)`, "$1 $2"),
		row(debugger, "going to debugger", `NMI.* going to debugger`, "NMI: going to debugger"),
		// minidump_machdep.c, kern_dump.c, kern_shutdown.c.
		row(dump, "Dumping ", `Dumping \d+ (?:out of \d+ )?MB`, "Dumping"),
		row(dump, "Dump complete", `Dump complete`, "Dump complete"),
		row(dump, "Dump failed", `(Dump failed)`, ""),
		row(dump, "Dump aborted", `(Dump aborted)`, ""),
		row(dump, "DUMP FAILED", `DUMP FAILED`, "Dump failed"),
		row(dump, "Cannot dump", `(Cannot dump.*)`, ""),
		leaves("KDB: reboot requested", `KDB: reboot requested`, "KDB: reboot requested"),
		leaves("Uptime: ", `^Uptime: `, "Uptime: on the way down"),
		leaves("Automatic reboot in", `Automatic reboot in \d+ seconds`, "Automatic reboot"),
		leaves("on the console to reboot", `Press a key on the console to reboot`, "waits for a key to reboot"),
		leaves("Rebooting...", `^Rebooting\.\.\.`, "Rebooting"),
		leaves("operating system has halted", `The operating system has halted`, "The operating system has halted"),
		leaves("Rebooting in ", `Rebooting in \d+ seconds`, "Rebooting"),
		leaves("reboot: ", `reboot: (Restarting system|Power down|System halted|machine restart)`, "reboot: $1"),
		// subr_witness.c: from here on it sees nothing, which is no absence of trouble.
		row(runners.KindLockOrder, "unable to allocate a new witness", `(WITNESS: unable to allocate a new witness object)`, ""),
		row(runners.KindLockOrder, "witness exhausted", `(\w+: witness exhausted)`, ""),
		row(runners.KindLockOrder, "Witness disabled", `Witness disabled`, "Witness disabled"),
		// kern_timeout.c, with DIAGNOSTIC.
		row(runners.KindHang, "Expensive timeout(9)", `Expensive timeout\(9\) function`, "Expensive timeout(9) function"),
		// uma_core.c, swap_pager.c, kern_sig.c; Linux's oom_kill.c.
		row(shortage, "[zone: ", `(\[zone: [^\]]*\] .*)`, ""),
		row(shortage, "out of swap space", `swap_pager: out of swap space`, "swap_pager: out of swap space"),
		row(shortage, "getswapspace(", `(swa?p_pager_getswapspace)\(\d+\): failed`, "$1 failed"),
		row(shortage, " was killed", `pid \d+ \((.*?)\),.* was killed(?:: (.*))?`, "$1 was killed: $2"),
		row(shortage, "Out of memory: Kill", `(Out of memory: Kill)`, "Out of memory: a process was killed"),
		// ip_icmp.c, tcp_subr.c, uipc_socket.c.
		row(network, "packets/sec", `(Limiting .*) from \d+ to \d+ packets/sec`, ""),
		row(network, "Listen queue overflow", `Listen queue overflow`, "Listen queue overflow"),
		// mca.c.
		row(runners.KindHardware, "MCA: CPU ", `MCA: CPU \d+ ((?:UNCOR|COR)\b.*)`, "MCA: $1"),
		row(runners.KindHardware, "MCA: Bank ", `MCA: Bank (\d+), Status`, "MCA: bank $1"),
		// syzkaller's executor.
		row(runners.KindProgram, "SYZFAIL:", `(SYZFAIL:.*)`, ""),
		row(runners.KindProgram, "SYZFATAL:", `(SYZFATAL:.*)`, ""),
	}
}
