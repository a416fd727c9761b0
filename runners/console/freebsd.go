package console

import (
	"slices"
	"strings"

	"github.com/headwatch/headwatch/runners"
)

// notKernel are lines about "panic:" that are no panics: sysctl names, other
// programs' logs (syzkaller's shared list), our agent's.
var notKernel = []string{"headwatch-agent: ", "_panic:", "xlog_status:", "ddb.onpanic:", "evtlog_status:"}

// bsdEnd is the last line that belongs to a FreeBSD panic: the debugger waits for
// somebody, or the machine starts over.
var bsdEnd = re(`^db> |^Rebooting\.\.\.|^The operating system has halted|^NMI ISA|^SeaBIOS|^BdsDxe:|^---<<BOOT>>---`)

func bsdPatterns() []pattern {
	return slices.Concat(bsdTraps(), bsdLocks(), bsdMemory(), bsdHangs(), bsdPanics())
}

// bsdTraps are of trap.c (amd64, arm64).
func bsdTraps() []pattern {
	const fatal = runners.KindFatal
	return []pattern{
		{kind: fatal, hints: []string{"Fatal trap"}, find: re(`(Fatal trap \d+: .*?)(?: while in (?:kernel|user) mode|$)`), in: true, fatal: true, end: bsdEnd},
		{kind: fatal, hints: []string{"Fatal double fault"}, find: re(`(Fatal double fault)`), in: true, fatal: true, end: bsdEnd},
		{kind: fatal, hints: []string{"Fatal data abort"}, find: re(`(Fatal data abort)`), in: true, fatal: true, end: bsdEnd},
		{kind: runners.KindWarning, hints: []string{"with interrupts disabled"}, find: re(`(?:kernel |pid \d+ \(.*\): )(trap \d+ with interrupts disabled)`),
			as: "kernel $1", wait: 6, yields: re(`^(?:Fatal|panic: )`)},
	}
}

// bsdLocks are of subr_witness.c, kern_mutex.c and the other locks. The prefix
// "panic: " makes them fatal.
func bsdLocks() []pattern {
	const lock = runners.KindLockOrder
	return []pattern{
		{kind: lock, hints: []string{"lock order reversal"}, find: re(`(lock order reversal:(?: \([^)]*\))?)`), detail: witnessNames},
		{kind: lock, hints: []string{"acquiring duplicate lock"}, find: re(`(acquiring duplicate lock of same type: .*)`)},
		{kind: lock, hints: []string{"lock of ("}, find: re(`((?:shared|exclusive|forbidden) (?:un)?lock of \([^)]*\) .*?)(?: @ |$)`), wait: 8,
			leads: re(`(?:panic|KASSERT failed): (?:excl->u?share|share->u?excl|lock marked norelease)`), detail: witnessWhile},
		{kind: lock, hints: []string{"locks held:"}, find: re(`^(.*) with the following ((?:non-sleepable )?locks held):`), as: "$1 with $2:", wait: 40,
			leads: re(`panic: (?:witness_warn|Thread \S+ cannot exit)`), yields: re(`^Fatal trap`), detail: witnessHeld},
		{kind: lock, hints: []string{"acquiring blockable sleep lock"}, find: re(`(acquiring blockable sleep lock with spinlock or critical section held \([^)]*\) .*?)(?: @ |$)`), in: true},
		{kind: lock, hints: []string{" of destroyed "}, find: re(`panic: (\w+)\(\) of destroyed (mutex|rmlock|rwlock|sx) @ (\S+)`), as: "panic: $1() of destroyed $2 at $3", in: true, fatal: true, end: bsdEnd},
		{kind: lock, hints: []string{"sx lock still held"}, find: re(`(panic: sx lock still held)`), in: true, fatal: true, end: bsdEnd},
		{kind: lock, hints: []string{" not owned at ", "recursed at ", "recursed on non-recursive", "recursed @ ", " locked @ ", "excl->", "share->"}, ignore: notKernel,
			find: re(`(?:^|[^\w.])(panic: .*(?: not owned at | (?:un)?recursed (?:at|on|@) | locked @ |excl->u?share|share->u?excl).*)`), in: true, fatal: true, end: bsdEnd, after: true},
	}
}

// bsdMemory are of uma_core.c, uma_dbg.c, kern_malloc.c, subr_asan.c, subr_msan.c
// and pmap.c.
func bsdMemory() []pattern {
	const memory, leak = runners.KindMemory, runners.KindLeak
	return []pattern{
		{kind: memory, hints: []string{"ASan: Invalid access"}, find: re(`(ASan: Invalid access, \d+-byte (?:read|write))(?: at \w+(?:, (\w+))?)?`), as: "$1 ($2)", in: true},
		{kind: memory, hints: []string{"MSan: Uninit", "MSan: uninit"}, in: true,
			find: re(`(MSan: [Uu]ninitialized (?:\w+ )?(?:memory|variable)(?: '[^']*')?(?: in \w+)?)(?:.*?( from [A-Za-z_]\w*))?`)},
		{kind: memory, hints: []string{"Memory modified after free"}, find: re(`(Memory modified after free)`), in: true, wait: 4,
			leads: re(`panic: Most recently used by`), detail: lastUser},
		{kind: memory, hints: []string{"Duplicate alloc of", "Duplicate free of", "Invalid free of"}, in: true,
			find: re(`((?:Duplicate (?:alloc|free)|Invalid free) of) \S+ from zone \w+\((.*?)\)`), as: "$1 item from zone $2"},
		{kind: memory, hints: []string{"pmap_demote_pde: xpte"}, find: re(`(pmap_demote_pde: xpte) \S+ (and newpte map .*?)(?:: found|$)`), as: "$1 $2", single: true},
		{kind: memory, hints: []string{"pmap_unwire: demotion failed", "pmap_demote_"}, find: re(`(pmap_unwire: demotion failed|pmap_demote_\w+: .*)`), single: true},
		{kind: memory, hints: []string{"called with bad WAIT flags"}, find: re(`(uma_zalloc\* called with bad WAIT flags)`), in: true},
		{kind: leak, hints: []string{"leaked memory on destroy"}, find: re(`(memory type .* leaked memory on destroy)`), single: true},
		{kind: leak, hints: []string{"Freed UMA keg"}, find: re(`(Freed UMA keg \([^)]*\) was not empty)`), single: true},
	}
}

// bsdHangs are of deadlkres and the software watchdog (kern_clock.c), kern_mutex.c,
// kern_intr.c and the network drivers.
func bsdHangs() []pattern {
	const hang = runners.KindHang
	return []pattern{
		{kind: hang, hints: []string{"possible deadlock detected"}, find: re(`possible deadlock detected for \w+ \((.*?)\)`), as: "possible deadlock detected for $1"},
		{kind: hang, hints: []string{"possible deadlock detected"}, find: re(`(possible deadlock detected (?:on \w+|for \w+))`)},
		{kind: hang, hints: []string{" too long"}, find: re(`(spin lock) \w+ \((.*?)\) held by .* too long`), as: "$1 $2 held too long", wait: 40, in: true,
			leads: re(`spin lock held too long`)},
		{kind: hang, hints: []string{"spin lock held too long"}, find: re(`(?:panic: )?(spin lock held too long)`), in: true},
		{kind: hang, hints: []string{"panic: watchdog timeout"}, find: re(`(panic: watchdog timeout)`), in: true, fatal: true, end: bsdEnd},
		{kind: hang, hints: []string{"watchdog timeout", "Watchdog timeout"}, find: re(`^([a-z]\w*\d+): [Ww]atchdog timeout`), as: "$1: watchdog timeout", single: true, stall: true},
		{kind: hang, hints: []string{"interrupt storm"}, find: re(`(interrupt storm detected on [^;]*)`), single: true},
	}
}

// bsdPanics are the other panics; the titles of the first rows are syzkaller's.
func bsdPanics() []pattern {
	const fatal = runners.KindFatal
	known := func(hint, find, as string) pattern {
		return pattern{kind: fatal, hints: []string{hint}, find: re(find), as: as, fatal: true, end: bsdEnd}
	}
	return []pattern{
		known("ffs_write: type", `panic: ffs_write: type \w+ \d+ \(\d+,\d+\)`, "panic: ffs_write: type ADDR X (Y,Z)"),
		known("No chunks on the queues", `panic: No chunks on the queues for sid \d+`, "panic: sctp: no chunks on the queues"),
		known("size_on_all_streams", `panic: size_on_all_streams = \d+ smaller than control length \d+`, "panic: size_on_all_streams smaller than control length"),
		known("sbflush_internal", `panic: sbflush_internal: ccc \d+ mb \w+ mbcnt \d+`, "panic: sbflush_internal: residual data"),
		known("pfi_dynaddr_setup", `panic: pfi_dynaddr_setup: dyn is \w+`, "panic: pfi_dynaddr_setup: non-NULL dyn"),
		{kind: fatal, hints: []string{"panic: "}, find: re(`(?:^|[^\w.])(panic: .*)`), ignore: notKernel, in: true, fatal: true, end: bsdEnd, after: true},
		{kind: runners.KindWarning, hints: []string{"KASSERT failed"}, find: re(`(KASSERT failed: .*)`), in: true, wait: 4},
		{kind: runners.KindHang, hints: []string{"KDB: enter: "}, find: re(`(KDB: enter: .*)`), in: true, fatal: true, end: bsdEnd, alone: true},
		{kind: runners.KindHang, hints: []string{"[ thread pid "}, find: re(`\[ thread pid -?\d+ tid \d+ \]`), as: "stopped in the kernel debugger", in: true, fatal: true, end: bsdEnd, alone: true},
		{kind: runners.KindWarning, hints: []string{"KDB: stack backtrace"}, find: re(`KDB: stack backtrace`), as: "stack backtrace without a report", in: true, alone: true},
	}
}

// witnessNames adds the locks' names: " 1st 0xfffff8000 name (type, class) @
// file:line", without the address in older kernels.
func witnessNames(title, line string) string {
	m := witnessLock.FindStringSubmatch(line)
	if m == nil {
		return title
	}
	return title + " " + m[1] + " " + m[2]
}

var witnessLock = re(`^\s*(1st|2nd|3rd) (?:0x[0-9a-f]+ )?(.*?)(?: \(.*\))? @ `)

// witnessWhile adds how the lock was held: the report's second line.
func witnessWhile(title, line string) string {
	m := heldAs.FindString(line)
	if m == "" || strings.Contains(title, " while ") {
		return title
	}
	return title + " " + m
}

var heldAs = re(`while (?:exclusively|share) locked`)

// witnessHeld adds the first of the locks that are held.
func witnessHeld(title, line string) string {
	m := heldLock.FindStringSubmatch(line)
	if m == nil || !strings.HasSuffix(title, ":") {
		return title
	}
	return title + " " + m[1]
}

var heldLock = re(`^(?:exclusive|shared) (?:sleep mutex|spin mutex|rw|sx|rm|lockmgr|rm sleepable|sleepable rm) (.*?)(?: \(.*\))? r = \d+ \(`)

// lastUser adds who had the memory before: the panic's own words.
func lastUser(title, line string) string {
	m := usedBy.FindStringSubmatch(line)
	if m == nil || strings.Contains(title, "used by") {
		return title
	}
	return title + ", most recently used by " + m[1]
}

var usedBy = re(`panic: Most recently used by (\S+)`)
