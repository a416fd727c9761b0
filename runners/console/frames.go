package console

import (
	"regexp"
	"strings"
)

var (
	// " fn+0x1a/0x30 [module]", after "? " when the unwinder does not vouch for it.
	linuxFrame = regexp.MustCompile(`^\s*(\? )?([A-Za-z_][\w.]*)\+0x[0-9a-f]+/0x[0-9a-f]+( \[\w+\])?\s*$`)
	// "RIP: 0010:fn+0x1a/0x30" or, on arm64, "pc : fn+0x1a/0x30".
	linuxPC = regexp.MustCompile(`^\s*(?:RIP: [0-9a-f]{4}:|pc : )([A-Za-z_][\w.]*)\+0x[0-9a-f]+/0x[0-9a-f]+`)
	// "fn() at fn+0x1a/frame 0xfffffe00" and "#3 0xffffffff80bd at fn+0x1a".
	bsdFrame = regexp.MustCompile(`(?:^|\s)(?:#\d+ 0x[0-9a-f]+ at |[\w.]+\(.*\) at )([A-Za-z_][\w.]*)\+0x[0-9a-f]+`)
	// What the compiler adds to a function's name.
	suffix = regexp.MustCompile(`\.(cold|constprop|isra|part|llvm|lto_priv)(\.\d+)*`)
	// "--- trap 0xc, rip = …": the frames above it belong to the trap's handling.
	// Trap 0 marks the bottom of a kernel thread's stack.
	trapMark = regexp.MustCompile(`^\s*--- trap (0x)?[1-9a-f]`)
)

// machinery are the functions that report trouble, wait or switch, and so never
// name a bug. From syzkaller's pkg/report (linux.go, freebsd.go), plus the lock
// and debugger entries of FreeBSD's subr_witness.c and subr_kdb.c.
var machinery = regexp.MustCompile(`^(` + strings.Join([]string{
	`_*dump_stack(_lvl)?`, `_*show_(stack|regs|trace)\w*`, `panic`, `_*warn(_printk)?`, `report_bug`, `handle_bug`,
	`(asm_)?(exc|sysvec)_\w+`, `page_fault_oops`, `kernelmode_fixup_or_oops`, `do_(trap|error_trap|user_addr_fault|kern_addr_fault)`,
	`_*die(_body|_addr)?`, `oops_(begin|end|exit|enter)`, `no_context`, `bad_area\w*`, `fixup_\w+`, `early_fixup\w*`,
	`_*(kasan|kmsan|kcsan|ubsan|asan|msan)_\w+`, `print_\w+`, `report_\w+`, `check_(noncircular|prev_add|prevs_add|memory_region|unmap)`,
	`validate_chain`, `_*lock_acquire(\.\w+)?`, `mark_lock\w*`, `debug_\w+`, `_*might_(sleep|resched)\w*`, `_*schedule(_\w+)?`,
	`(raw_)?spin_(bug|dump)`, `watchdog_\w+`, `_*hrtimer_\w+`, `(arch_)?trigger_\w+`, `nmi_\w+`, `rcu_(dump|check|sched_clock|core)\w*`,
	`update_process_times`, `tick_\w+`, `lockup_\w+`, `io_schedule\w*`, `lockdep_\w+`,
	`kdb_\w+`, `db_\w+`, `vpanic`, `trap(_\w+)?`, `calltrap`, `alltraps`, `dblfault_handler`, `witness_\w+`, `_?witness`,
	`m_copydata`, `__rw_wlock_hard`, `kassert_panic`, `__stack_chk_fail`,
}, "|") + `)$`)

// frame returns the function that a line of a backtrace names. sure is false for
// one that the unwinder does not vouch for.
func frame(line string) (fn string, sure, ok bool) {
	if m := linuxPC.FindStringSubmatch(line); m != nil {
		return suffix.ReplaceAllString(m[1], ""), true, true
	}
	if m := linuxFrame.FindStringSubmatch(line); m != nil {
		return suffix.ReplaceAllString(m[2], ""), m[1] == "", true
	}
	if m := bsdFrame.FindStringSubmatch(line); m != nil {
		return suffix.ReplaceAllString(m[1], ""), true, true
	}
	return "", false, false
}
