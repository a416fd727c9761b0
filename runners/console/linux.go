package console

import (
	"strings"

	"github.com/headwatch/headwatch/runners"
)

// linuxPatterns are from syzkaller's pkg/report/linux.go and the kernel's own
// sources.
func linuxPatterns() []pattern {
	const (
		fatal, warning, lock = runners.KindFatal, runners.KindWarning, runners.KindLockOrder
		leak, memory, hang   = runners.KindLeak, runners.KindMemory, runners.KindHang
	)
	w := func(words ...string) []string { return words }
	return []pattern{
		{kind: fatal, hints: w("Kernel panic"), find: re(`(Kernel panic - not syncing: .*)`), fatal: true, end: re(`---\[ end Kernel panic`), after: true},
		{kind: memory, hints: w("KASAN: "), find: re(`(?:BUG: )?(KASAN: [\w-]+(?: in [\w.]+| in range)?)`), end: rule, ignore: w("KASAN: null-ptr-deref in range", "KASAN: maybe")},
		{kind: memory, hints: w("BUG: KFENCE: "), find: re(`BUG: (KFENCE: .*)`), end: rule},
		{kind: memory, hints: w("BUG: KCSAN: "), find: re(`BUG: (KCSAN: .*)`), end: rule},
		{kind: memory, hints: w("BUG: KMSAN: "), find: re(`BUG: (KMSAN: [\w-]+ in \w+)`), end: rule},
		{kind: hang, hints: w("BUG: soft lockup"), find: re(`(BUG: soft lockup) - CPU#\d+ stuck for`), in: true, stall: true},
		{kind: hang, hints: w("hard LOCKUP"), find: re(`(Watchdog detected hard LOCKUP)`), in: true, stall: true},
		{kind: fatal, hints: w("kernel BUG at"), find: re(`(kernel BUG at .*?)!?$`), in: true, fatal: true, end: endTrace},
		{kind: fatal, hints: w("BUG: unable to handle"), find: re(`(BUG: unable to handle [\w ]+?)(?: for address| at |$)`), in: true, fatal: true, end: endTrace},
		{kind: fatal, hints: w("Unable to handle kernel"), find: re(`(Unable to handle kernel [\w ]+?) at `), in: true, fatal: true, end: endTrace},
		{kind: fatal, hints: w("NULL pointer dereference"), find: re(`(BUG: kernel NULL pointer dereference)`), in: true, fatal: true, end: endTrace},
		{kind: warning, hints: w("BUG: sleeping function"), find: re(`(BUG: sleeping function called from invalid context at .*)`)},
		{kind: warning, hints: w("BUG: scheduling while atomic"), find: re(`(BUG: scheduling while atomic)`), in: true},
		{kind: memory, hints: w("BUG: Bad page"), find: re(`(BUG: Bad page (?:state|map|cache) in process)`), in: true},
		{kind: hang, hints: w("BUG: workqueue lockup"), find: re(`(BUG: workqueue lockup)`), single: true, stall: true},
		{kind: warning, hints: w("BUG: "), find: re(`(?:^|[^\w])(BUG: .*)`), ignore: w("[Firmware Bug]", "log buffer")},
		{kind: fatal, hints: w("general protection fault"), find: re(`(general protection fault)`), ignore: w("traps:", "segfault", "Fatal trap", "panic: ", "while in user mode"), in: true, fatal: true, end: endTrace},
		{kind: fatal, hints: w("PANIC: double fault"), find: re(`(PANIC: double fault)`), in: true, fatal: true, end: endTrace},
		{kind: fatal, hints: w("divide error", "invalid opcode", "stack segment", "double fault: ", "alignment check", "Oops: ", "Internal error: "),
			find: re(`((?:divide error|invalid opcode|stack segment|double fault|alignment check|Oops|Internal error)):? .*\[#\d+\]`), in: true, fatal: true, end: endTrace},
		{kind: lock, hints: w("possible circular locking"), find: re(`(possible circular locking dependency detected)`), end: lockdepEnd, detail: lockdepNames},
		{kind: lock, hints: w("possible recursive locking"), find: re(`(possible recursive locking detected)`), end: lockdepEnd, detail: lockdepNames},
		{kind: lock, hints: w("inconsistent lock state"), find: re(`(inconsistent lock state)`), end: lockdepEnd},
		{kind: lock, hints: w("irq lock inversion dependency"), find: re(`(possible irq lock inversion dependency detected)`), end: lockdepEnd},
		{kind: lock, hints: w("-unsafe lock order detected"), find: re(`(\w+-safe -> \w+-unsafe lock order detected)`), end: lockdepEnd},
		{kind: lock, hints: w("suspicious RCU usage"), find: re(`(suspicious RCU usage)`), in: true},
		{kind: lock, hints: w("bad unlock balance detected", "held lock freed"), find: re(`(bad unlock balance detected!?|held lock freed!?)`), in: true},
		{kind: warning, hints: w("WARNING: CPU"), find: re(`(WARNING: )CPU: \d+ PID: \d+ (at \S+ [\w.]+)`), end: endTrace},
		{kind: warning, hints: w("WARNING: "), find: re(`(WARNING: [\w./-]+\.[chS]:\d+ at [\w.]+)`), end: endTrace},
		{kind: hang, hints: w("blocked for more than"), find: re(`(INFO: task .+?):\d+( blocked) for more than`), in: true, stall: true},
		{kind: hang, hints: w("detected stalls", "self-detected stall", "detected expedited stalls"),
			find: re(`(INFO: rcu\w* (?:detected stalls|self-detected stall|detected expedited stalls))`), in: true, stall: true},
		{kind: hang, hints: w("kthread starved", "kthread timer wakeup"), find: re(`(rcu: .*kthread (?:starved|timer wakeup didn't happen))`), stall: true},
		{kind: lock, hints: w("non-static key"), find: re(`(INFO: trying to register non-static key)`), in: true},
		{kind: warning, hints: w("UBSAN: "), find: re(`(UBSAN: .*)`), in: true, end: re(`^={20,}$|---\[ end trace`)},
		{kind: leak, hints: w("kmemleak: "), find: re(`(kmemleak: )\d+ (new suspected memory leaks)`), single: true},
		{kind: leak, hints: w("unregister_netdevice: "), find: re(`(unregister_netdevice: waiting for \S+ to become free)`), single: true},
	}
}

// agentPatterns are what the Go runtime says; "panic: " is another row, and told
// apart by the goroutine's trace.
func agentPatterns() []pattern {
	return []pattern{
		{kind: runners.KindProgram, hints: []string{"fatal error: "}, find: re(`^(fatal error: .*)`), ignore: []string{"ALSA", "cannot create timer"}, agent: true, end: never},
	}
}

// lockdepEnd: a lockdep report holds several backtraces; the last one follows
// this line.
var lockdepEnd = re(`^stack backtrace:`)

// lockdepNames adds the lock that is being taken: "  … is trying to acquire
// lock:" is followed by "ffff… (name){+.+.}-{3:3}, at: fn+0x…".
func lockdepNames(title, line string) string {
	m := lockdepLock.FindStringSubmatch(line)
	if m == nil || strings.Count(title, " lock ") >= 2 {
		return title
	}
	return title + " lock " + m[1]
}

var lockdepLock = re(`^[0-9a-f]{8,16} \((.+?)\)\{.*, at: `)
