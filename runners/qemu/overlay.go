package qemu

import (
	"encoding/binary"
	"os"
)

// From QEMU's docs/interop/qcow2.txt.
const (
	qcowMagic       = 0x514649fb // "QFI" and 0xfb
	qcowVersion     = 3
	qcowClusterBits = 16
	qcowCluster     = 1 << qcowClusterBits
	qcowHeader      = 104 // bytes of a version 3 header
	qcowRefBits     = 4   // a count has 1 << 4 bits
)

// writeOverlay makes an empty qcow2 image of size bytes: everything is read from
// what lies below it, which QEMU is told on its command line. Its clusters are
// the header, the table of reference counts, a block of them, and the first-level
// table, which may take several.
func writeOverlay(f *os.File, size int64) error {
	const perEntry = qcowCluster / 8 * qcowCluster // bytes of the image for each entry of the first level
	entries := (size + perEntry - 1) / perEntry
	clusters := 3 + (entries*8+qcowCluster-1)/qcowCluster
	be := binary.BigEndian
	b := make([]byte, 0, qcowHeader)
	b = be.AppendUint32(b, qcowMagic)
	b = be.AppendUint32(b, qcowVersion)
	b = be.AppendUint64(b, 0) // backing file's name: none
	b = be.AppendUint32(b, 0)
	b = be.AppendUint32(b, qcowClusterBits)
	b = be.AppendUint64(b, uint64(size))
	b = be.AppendUint32(b, 0) // no encryption
	b = be.AppendUint32(b, uint32(entries))
	b = be.AppendUint64(b, 3*qcowCluster) // first-level table
	b = be.AppendUint64(b, qcowCluster)   // reference count table
	b = be.AppendUint32(b, 1)             // its clusters
	b = be.AppendUint32(b, 0)             // snapshots
	b = be.AppendUint64(b, 0)
	b = append(b, make([]byte, 24)...) // features: none
	b = be.AppendUint32(b, qcowRefBits)
	b = be.AppendUint32(b, qcowHeader)
	counts := make([]byte, 0, 2*clusters)
	for range clusters {
		counts = be.AppendUint16(counts, 1)
	}
	for _, part := range []struct {
		at   int64
		data []byte
	}{{0, b}, {qcowCluster, be.AppendUint64(nil, 2*qcowCluster)}, {2 * qcowCluster, counts}} {
		if _, err := f.WriteAt(part.data, part.at); err != nil {
			return err
		}
	}
	return f.Truncate(clusters * qcowCluster)
}
