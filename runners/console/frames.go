package console

import (
	"regexp"
	"strconv"
	"strings"

	"github.com/headwatch/headwatch/runners"
)

var (
	// " [<ffffffff81>] fn+0x1a/0x30 [module]", after "? " when the unwinder does not
	// vouch for it. The address is of kernels before 4.10.
	linuxFrame = regexp.MustCompile(`^\s*(?:\[<([0-9a-f]+)>\] )?(\? )?([A-Za-z_][\w.]*)\+0x([0-9a-f]+)/0x[0-9a-f]+(?: \[(\w+)[^\]]*\])?(?: \(.*\))?\s*$`)
	// "RIP: 0010:fn+0x1a/0x30" or, on arm64, "pc : fn+0x1a/0x30".
	linuxPC = regexp.MustCompile(`^\s*(?:E?RIP: [0-9a-f]{4}:(?:\[<[0-9a-f]+>\] )?|pc : )([A-Za-z_][\w.]*)\+0x([0-9a-f]+)/0x[0-9a-f]+(?: \[(\w+)[^\]]*\])?`)
	// stack(9): "#3 0xffffffff80bd2e50 at fn+0x1a".
	bsdOld = regexp.MustCompile(`(?:^|\s)#\d+ (?:0x)?([0-9a-f]+) at ([A-Za-z_][\w.]*)\+(?:0x)?([0-9a-f]+)`)
	// db_trace.c: "fn() at fn+0x1a/frame 0xfffffe00", "fn(c0a1,1) at fn+0x2b",
	// "??() at 0xffffffff82a1b2c3/frame 0xfffffe00".
	bsdNew = regexp.MustCompile(`(?:^|\s)[\w.?]+\([^()]*\) at (?:([A-Za-z_][\w.]*)(?:\+0x([0-9a-f]+))?|0x([0-9a-f]+))(?:/frame 0x[0-9a-f]+|\s|$)`)
	// What the compiler adds to a function's name.
	suffix = regexp.MustCompile(`\.(cold|constprop|isra|part|llvm|lto_priv)(\.\d+)*`)
	// "--- trap 0xc, rip = …": the frames above it belong to the trap's handling.
	// Trap 0 marks the bottom of a kernel thread's stack.
	trapMark = regexp.MustCompile(`^\s*--- (?:trap (?:0x)?[1-9a-f]|exception, esr)`)
	// Headings of backtraces, and what stands between two frames of one.
	traceHead = regexp.MustCompile(`stack backtrace|^Tracing |^db:\d+:|^Call Trace:| at:$|^stack trace:`)
	traceMark = regexp.MustCompile(`^\s*(<[/A-Z# 0-9]+>|--- .*)\s*$`)
)

// machinery are the functions that report trouble, wait or switch, and so never
// name a bug. From syzkaller's pkg/report (linux.go, freebsd.go), plus the lock,
// debugger, memory and sanitizer entries of FreeBSD's subr_witness.c, subr_kdb.c,
// kern_{mutex,rwlock,sx,rmlock,lock}.c, uma_core.c, uma_dbg.c, subr_{a,m}san.c and
// the trap handling of amd64 and arm64.
var machinery = regexp.MustCompile(`^(` + strings.Join([]string{
	`_*dump_stack(_lvl)?`, `_*show_(stack|regs|trace)\w*`, `panic`, `_*warn(_printk)?`, `report_bug`, `handle_bug`,
	`(asm_)?(exc|sysvec)_\w+`, `page_fault_oops`, `kernelmode_fixup_or_oops`, `do_(trap|error_trap|user_addr_fault|kern_addr_fault)`,
	`_*die(_body|_addr)?`, `oops_(begin|end|exit|enter)`, `no_context`, `bad_area\w*`, `fixup_\w+`, `early_fixup\w*`,
	`_*(kasan|kmsan|kcsan|ubsan|asan|msan)_\w+`, `print_\w+`, `report_\w+`, `check_(noncircular|prev_add|prevs_add|memory_region|unmap)`,
	`validate_chain`, `_*lock_acquire(\.\w+)?`, `mark_lock\w*`, `debug_\w+`, `_*might_(sleep|resched)\w*`, `_*schedule(_\w+)?`,
	`(raw_)?spin_(bug|dump)`, `watchdog_\w+`, `_*hrtimer_\w+`, `(arch_)?trigger_\w+`, `nmi_\w+`, `\w+_nmi(_(error|handler))?`, `cpustop_handler`, `rcu_(dump|check|sched_clock|core)\w*`,
	`update_process_times`, `tick_\w+`, `lockup_\w+`, `io_schedule\w*`, `lockdep_\w+`,
	`kdb_\w+`, `db_\w+`, `vpanic`, `trap(_\w+)?`, `(nmi_|mchk_)?calltrap`, `alltraps`, `Xdblfault`, `dblfault_handler`, `witness_\w+`, `_?witness`,
	`m_copydata`, `__rw_wlock_hard`, `kassert_panic`, `__stack_chk_fail`, `breakpoint`, `stack_save\w*`,
	`data_abort`, `align_abort`, `external_abort`, `(do|handle)_el[01]h?_\w+`, `unhandled_exception`, `vm_fault(_trap|_lookup|_soft_fast)?`,
	`_*mtx_(lock|unlock|trylock|assert|destroy|init|sysinit)\w*`, `_*thread_lock_\w+`, `_*(rw|rm)_\w*(lock|assert|downgrade|upgrade|destroy|init|cookie)\w*`,
	`_*sx_\w+`, `_*lockmgr_\w+`, `lock_(destroy|init|delay)`, `_*epoch_assert\w*`,
	`uma_\w+`, `item_[cd]tor`, `m?trash_\w+`, `zone_(alloc|free|release|import)\w*`, `free(_dbg)?`, `zfree`, `malloc(_dbg)?`, `contigfree`,
	`_*sleepq_\w+`, `mi_switch`, `sched_switch`, `_*sleep`, `_*cv_\w*wait\w*`, `turnstile_wait`, `softclock_thread_idle`,
	`ipi_nmi_handler`, `cpustop_handler`, `cpususpend_handler`, `generic_stop_cpus`,
}, "|") + `)$`)

// frame reads a line of a backtrace. sure is false for one that the unwinder does
// not vouch for; pc is true for a program counter beside the backtrace proper.
func frame(line string) (f runners.Frame, sure, pc, ok bool) {
	if m := linuxPC.FindStringSubmatch(line); m != nil {
		return runners.Frame{Func: bare(m[1]), Offset: hexa(m[2]), Module: m[3]}, true, true, true
	}
	if m := linuxFrame.FindStringSubmatch(line); m != nil {
		return runners.Frame{Addr: hexa(m[1]), Func: bare(m[3]), Offset: hexa(m[4]), Module: m[5]}, m[2] == "", false, true
	}
	if m := bsdNew.FindStringSubmatch(line); m != nil {
		return runners.Frame{Func: bare(m[1]), Offset: hexa(m[2]), Addr: hexa(m[3])}, true, false, true
	}
	if m := bsdOld.FindStringSubmatch(line); m != nil {
		return runners.Frame{Addr: hexa(m[1]), Func: bare(m[2]), Offset: hexa(m[3])}, true, false, true
	}
	return f, false, false, false
}

func bare(fn string) string { return suffix.ReplaceAllString(fn, "") }

// hexa reads a number that a pattern found; one too long to be an address is 0.
func hexa(s string) uint64 {
	n, err := strconv.ParseUint(s, 16, 64)
	if err != nil {
		return 0
	}
	return n
}
