package guest

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// prepare says what the kernel has.
func prepare() (p Prepared, err error) {
	cpus, err := cpuList()
	if err != nil {
		return p, err
	}
	p = Prepared{Page: os.Getpagesize(), CPUs: len(cpus)}
	sizes, err := unix.SysctlRaw("hw.pagesizes")
	if err != nil {
		return p, os.NewSyscallError("sysctl hw.pagesizes", err)
	}
	if len(sizes) >= 16 {
		p.Large = int(binary.LittleEndian.Uint64(sizes[8:]))
	}
	for _, name := range []string{"vm.pmap.pg_ps_enabled", "vm.pmap.superpages_enabled"} { // amd64, arm64
		if on, err := unix.SysctlUint32(name); err == nil {
			p.Enabled = on != 0
		}
	}
	return p, nil
}

// counted are the counters; kernels and architectures lack some.
var counted = []string{
	"vm.pmap.pde.promotions", "vm.pmap.pde.demotions", "vm.pmap.pde.mappings", "vm.pmap.pde.p_failures", "vm.pmap.pdpe.demotions",
	"vm.pmap.l2.promotions", "vm.pmap.l2.demotions", "vm.pmap.l2.mappings", "vm.pmap.l2.p_failures",
	"vm.pmap.user_pt_page_count", "vm.pmap.kernel_pt_page_count", "vm.pmap.pv_page_count",
	"vm.reserv.fullpop", "vm.reserv.broken", "vm.reserv.freed", "vm.reserv.reclaimed",
	"vm.stats.vm.v_wire_count", "vm.stats.vm.v_user_wire_count", "vm.stats.vm.v_free_count",
	"vm.uma.MAP_ENTRY.stats.current", "vm.uma.VM_OBJECT.stats.current", "vm.uma.VMSPACE.stats.current", "vm.uma.RADIX_NODE.stats.current",
}

// counters are what leaks or moves when memory is mapped.
func counters() (Counters, error) {
	c := Counters{}
	for _, name := range counted {
		b, err := unix.SysctlRaw(name)
		switch {
		case errors.Is(err, unix.ENOENT):
		case err != nil:
			return nil, os.NewSyscallError("sysctl "+name, err)
		case len(b) == 4:
			c[name] = int64(int32(binary.LittleEndian.Uint32(b)))
		case len(b) == 8:
			c[name] = int64(binary.LittleEndian.Uint64(b))
		default:
			return nil, fmt.Errorf("sysctl %s is of %d bytes", name, len(b))
		}
	}
	return c, nil
}
