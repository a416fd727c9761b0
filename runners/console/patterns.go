package console

import (
	"regexp"
	"slices"
	"strings"
)

// pattern is one kind of report. find's first group, or its whole match when it
// has none, is the report's title; see title for how a frame is added.
type pattern struct {
	hint   string // literal that the line must contain: a cheap test before find
	find   *regexp.Regexp
	ignore []string // words that show the line is something else
	fatal  bool     // the kernel cannot go on
	// where says how the top frame becomes part of the title: " in ", or empty when
	// the line says enough.
	where string
	// end matches the last line of the report. nil: the first line after its
	// backtrace.
	end *regexp.Regexp
	// single reports are one line.
	single bool
	// stall reports say that something took too long, and nothing else.
	stall bool
	// agent reports are a Go program's, ours most likely: they are no crashes.
	agent bool
	// after says that the report may be the consequence of the one before it, and
	// then is part of it.
	after bool
	// detail refines the title from a further line of the report; it returns the
	// title unchanged when the line says nothing.
	detail func(title, line string) string
}

func re(s string) *regexp.Regexp { return regexp.MustCompile(s) }

var (
	endTrace = re(`---\[ end trace`)
	never    = re(`$^`)
	rule     = re(`^={20,}$`)
)

// notKernel are lines about "panic:" that are no panics: sysctl names, other
// programs' logs (syzkaller's shared list), our agent's.
var notKernel = []string{"headwatch-agent: ", "_panic:", "xlog_status:", "ddb.onpanic:", "evtlog_status:"}

// patterns is the table of everything that is a crash. The first row that
// matches a line names it.
var patterns = slices.Concat(linuxPatterns, bsdPatterns, agentPatterns)

// agentPatterns are what the Go runtime says; "panic: " is a row above, and told
// apart by the goroutine's trace.
var agentPatterns = []pattern{
	{hint: "fatal error: ", find: re(`^(fatal error: .*)`), ignore: []string{"ALSA", "cannot create timer"}, agent: true, end: never},
}

// From syzkaller's pkg/report/linux.go and the kernel's own sources.
var linuxPatterns = []pattern{
	{hint: "Kernel panic", find: re(`(Kernel panic - not syncing: .*)`), fatal: true, end: re(`---\[ end Kernel panic`), after: true},
	{hint: "KASAN:", find: re(`(?:BUG: )?(KASAN: [\w-]+(?: in [\w.]+| in range)?)`), end: rule, ignore: []string{"KASAN: null-ptr-deref in range", "KASAN: maybe"}},
	{hint: "KFENCE:", find: re(`BUG: (KFENCE: .*)`), end: rule},
	{hint: "KCSAN:", find: re(`BUG: (KCSAN: .*)`), end: rule},
	{hint: "KMSAN:", find: re(`BUG: (KMSAN: [\w-]+ in \w+)`), end: rule},
	{hint: "soft lockup", find: re(`(BUG: soft lockup) - CPU#\d+ stuck for`), where: " in ", stall: true},
	{hint: "hard LOCKUP", find: re(`(Watchdog detected hard LOCKUP)`), where: " in ", stall: true},
	{hint: "kernel BUG at", find: re(`(kernel BUG at .*)`), fatal: true, end: endTrace},
	{hint: "unable to handle", find: re(`(BUG: unable to handle [\w ]+?)(?: for address| at |$)`), where: " in ", fatal: true, end: endTrace},
	{hint: "Unable to handle", find: re(`(Unable to handle kernel [\w ]+?) at `), where: " in ", fatal: true, end: endTrace},
	{hint: "NULL pointer dereference", find: re(`(BUG: kernel NULL pointer dereference)`), where: " in ", fatal: true, end: endTrace},
	{hint: "sleeping function", find: re(`(BUG: sleeping function called from invalid context at .*)`)},
	{hint: "scheduling while atomic", find: re(`(BUG: scheduling while atomic)`), where: " in "},
	{hint: "BUG: Bad page", find: re(`(BUG: Bad page (?:state|map|cache) in process)`), where: " in "},
	{hint: "BUG: workqueue lockup", find: re(`(BUG: workqueue lockup)`), single: true, stall: true},
	{hint: "BUG: ", find: re(`(BUG: .*)`), ignore: []string{"[Firmware Bug]", "log buffer"}},
	{hint: "general protection fault", find: re(`(general protection fault)`), ignore: []string{"traps:", "segfault"}, where: " in ", fatal: true, end: endTrace},
	{hint: "PANIC: double fault", find: re(`(PANIC: double fault)`), where: " in ", fatal: true, end: endTrace},
	{hint: "[#", find: re(`((?:divide error|invalid opcode|stack segment|double fault|alignment check|Oops|Internal error)):? .*\[#\d+\]`), where: " in ", fatal: true, end: endTrace},
	{hint: "possible circular locking", find: re(`(possible circular locking dependency detected)`), end: lockdepEnd, detail: lockdepNames},
	{hint: "possible recursive locking", find: re(`(possible recursive locking detected)`), end: lockdepEnd, detail: lockdepNames},
	{hint: "inconsistent lock state", find: re(`(inconsistent lock state)`), end: lockdepEnd},
	{hint: "suspicious RCU usage", find: re(`(suspicious RCU usage)`), where: " in "},
	{hint: "unlock balance", find: re(`(bad unlock balance detected!?)`), where: " in "},
	{hint: "WARNING: ", find: re(`(WARNING: )CPU: \d+ PID: \d+ (at \S+ [\w.]+)`), end: endTrace},
	{hint: "WARNING: ", find: re(`(WARNING: [\w./-]+\.[chS]:\d+ at [\w.]+)`), end: endTrace},
	{hint: "blocked for more than", find: re(`(INFO: task .+?):\d+( blocked) for more than`), where: " in ", stall: true},
	{hint: "detected", find: re(`(INFO: rcu\w* (?:detected stalls|self-detected stall|detected expedited stalls))`), where: " in ", stall: true},
	{hint: "kthread ", find: re(`(rcu: .*kthread (?:starved|timer wakeup didn't happen))`), stall: true},
	{hint: "non-static key", find: re(`(INFO: trying to register non-static key)`), where: " in "},
	{hint: "UBSAN:", find: re(`(UBSAN: .*)`), end: re(`^={20,}$|---\[ end trace`)},
	{hint: "kmemleak:", find: re(`(kmemleak: )\d+ (new suspected memory leaks)`), single: true},
	{hint: "unregister_netdevice:", find: re(`(unregister_netdevice: waiting for \S+ to become free)`), single: true},
}

// From FreeBSD's trap.c, kern_shutdown.c, subr_witness.c, subr_asan.c,
// subr_msan.c, deadlkres (kern_clock.c), uma_core.c and pmap.c.
var bsdPatterns = []pattern{
	{hint: "Fatal trap", find: re(`(Fatal trap \d+: .*?)(?: while in (?:kernel|user) mode)?$`), where: " in ", fatal: true, end: never},
	{hint: "Fatal double fault", find: re(`(Fatal double fault)`), where: " in ", fatal: true, end: never},
	{hint: "ASan:", find: re(`(ASan: Invalid access, \d+-byte (?:read|write))`), where: " in "},
	{hint: "MSan:", find: re(`(MSan: Uninitialized .*? memory)(?: in | from |$)`), where: " in "},
	{hint: "panic: ", find: re(`(?:^|[^\w.])(panic: .*)`), ignore: notKernel, fatal: true, end: never, after: true},
	{hint: "KASSERT failed", find: re(`(KASSERT failed: .*)`)},
	{hint: "lock order reversal", find: re(`(lock order reversal:(?: \([^)]*\))?)`), detail: witnessNames},
	{hint: "acquiring duplicate lock", find: re(`(acquiring duplicate lock of same type: .*)`)},
	{hint: "while exclusively locked from", find: re(`(shared lock of .* while exclusively locked from)`)},
	{hint: "while share locked from", find: re(`(exclusive lock of .* while share locked from)`)},
	{hint: "locks held:", find: re(`(.* with the following (?:non-sleepable )?locks held:)`)},
	{hint: "possible deadlock", find: re(`(possible deadlock detected (?:for|on) \S+)`)},
	{hint: "spin lock held too long", find: re(`(spin lock .*held too long|spin lock held too long)`)},
	{hint: "leaked memory on destroy", find: re(`(memory type \S+ leaked memory on destroy)`), single: true},
	{hint: "was not empty", find: re(`(Freed UMA keg \([^)]*\) was not empty)`), single: true},
	{hint: "Duplicate ", find: re(`(Duplicate (?:alloc|free) of) .*( from zone .*)`)},
	{hint: "pmap_", find: re(`(pmap_unwire: demotion failed|pmap_demote_\w+: .*)`), single: true},
	{hint: "interrupt storm", find: re(`(interrupt storm detected on [^;]*)`), single: true},
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
