package console

import (
	"fmt"
	"io"
	"math/rand/v2"
)

// WriteSample writes about size bytes of console output for measurements: the same
// for the same size in every version of this program. It is what healthy guests
// say, with one line in about twenty thousand worth a closer look and one warning
// in about a hundred thousand lines.
func WriteSample(w io.Writer, size int64) error {
	rnd := rand.New(rand.NewPCG(1, 2))
	var written int64
	for n := 0; written < size; n++ {
		m, err := io.WriteString(w, sampleLine(rnd, n))
		written += int64(m)
		if err != nil {
			return err
		}
	}
	return nil
}

func sampleLine(rnd *rand.Rand, n int) string {
	switch {
	case n%100003 == 50000:
		return fmt.Sprintf("lock order reversal:\r\n 1st 0xfffff800%08x ufs (ufs, lockmgr) @ /usr/src/sys/kern/vfs_mount.c:1234\r\n"+
			" 2nd 0xfffff800%08x devfs (devfs, lockmgr) @ /usr/src/sys/ufs/ffs/ffs_vfsops.c:1580\r\nstack backtrace:\r\n"+
			"#0 0xffffffff80c5a9bc at witness_checkorder+0xb1c\r\n#1 0xffffffff80cad1f5 at vfs_domount+0x9a5\r\nlogger: next\r\n", rnd.Uint32(), rnd.Uint32())
	case n%20011 == 10000:
		return fmt.Sprintf("Limiting icmp ping response from %d to 200 packets/sec\r\n", 200+rnd.IntN(900))
	}
	unit, word := rnd.IntN(8), rnd.Uint32()
	switch rnd.IntN(12) {
	case 0:
		return fmt.Sprintf("vtnet%d: link state changed to UP\r\n", unit)
	case 1:
		return fmt.Sprintf("pci%d: <ACPI PCI bus> on pcib%d\r\n", unit, unit)
	case 2:
		return fmt.Sprintf("[%5d.%06d] systemd[1]: Started session-%d.scope - Session %d of user root.\r\n", n/100, word%1000000, unit, unit)
	case 3:
		return fmt.Sprintf("virtio_pci%d: <VirtIO PCI (modern) Network adapter> port 0x%04x-0x%04x mem 0xfebd%04x irq %d at device %d.0 on pci0\r\n", unit, word&0xffe0, word|0x1f, word&0xf000, unit+10, unit)
	case 4:
		return fmt.Sprintf("sys/kern/kern_copyin:kern_copyin  ->  passed  [0.%03ds]\r\n", word%1000)
	case 5:
		return fmt.Sprintf("sys/netinet/tcp_connect_port_number_test:basic_%d  ->  passed  [%d.%03ds]\r\n", unit, unit, word%1000)
	case 6:
		return fmt.Sprintf("[%5d.%06d] tcp: request_sock_TCP: Possible SYN flooding on port %d. Sending cookies.\r\n", n/100, word%1000000, word%65536)
	case 7:
		return "Starting file system checks: the root file system is clean, skipping checks; mounting local filesystems.\r\n"
	case 8:
		return fmt.Sprintf("tcp.snd_cwnd=%d tcp.snd_ssthresh=%d rtt=%d.%03d ms retransmits=%d\r\n", word%100000, word>>8%100000, unit, word%1000, unit)
	case 9:
		return fmt.Sprintf("net.inet.tcp.hostcache.%d: %d -> %d\r\n", unit, word%100, word%1000)
	case 10:
		return fmt.Sprintf("%08x  %08x %08x %08x %08x  |................|\r\n", n*16, word, word*3, word*7, word*11)
	}
	return "\r\n"
}
