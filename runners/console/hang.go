package console

import "github.com/headwatch/headwatch/runners"

// A runner that finds a guest hanging writes a report of its own on the console, from
// a line that begins with HangMark to the line HangEnd: what the kernel says to an
// interrupt in between is part of it, and no panic of its own.
const (
	HangMark = "headwatch: hang: "
	HangEnd  = "headwatch: end of hang"
	// HangTitle begins the title of such a report.
	HangTitle = "hang: "
)

func hangPatterns() []pattern {
	return []pattern{
		{kind: runners.KindHang, hints: []string{HangMark}, find: re(`^headwatch: (hang: [^;]+)`), fatal: true, in: true, end: re(`^headwatch: end of hang$`), asked: true},
	}
}

// idle are the functions in which a CPU waits for work: FreeBSD's cpu_machdep.c,
// acpi_cpu.c and sched_*.c, Linux's kernel/sched/idle.c, arch/x86/kernel/process.c and
// drivers/{cpuidle,idle}. Whoever answers an interrupt there has nothing to do with what
// the guest hangs in.
var idle = re(`^((acpi_)?cpu_idle\w*|acpi_cpu_c\d|acpi_(idle|safe_halt)\w*|sched_idletd|(pv_)?native_safe_halt|(default|mwait|intel|poll|arch_cpu|do)_idle\w*|cpuidle_\w+|cpu_wfi|wfi)$`)
