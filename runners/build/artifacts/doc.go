// Package artifacts gets what FreeBSD's CI publishes for a commit, so that a
// commit can be tested without building it: it downloads into a bounded cache,
// unpacks sets into a folder for makefs(8), expands disk images, and speaks the
// test image's own protocol.
//
// # What is published, and where that is written
//
// Found in the scripts of github.com/freebsd/freebsd-ci at commit 3d759be9c8b7
// (25 June 2026); nothing here was tried against the live server. The server is
// artifact.ci.freebsd.org, and BASE below is its root:
//
//	BASE/snapshot/BRANCH/COMMIT/TARGET/ARCH/   such as main/<40 hex digits>/amd64/amd64, arm64/aarch64
//	    base.txz kernel.txz tests.txz lib32.txz, each with a -dbg.txz   scripts/build/build-world-kernel-head.sh
//	    MANIFEST, revision.txt (the commit and a newline)               the same
//	    disk-test.img.zst                                               scripts/build/build-test_image-head.sh
//	    disk.img.zst                                                    jobs/FreeBSD-main-amd64-images/build.sh
//	BASE/snapshot/BRANCH/LINK/TARGET/ARCH -> ../../COMMIT/TARGET/ARCH   artifact/set-link.py
//
// Sets of other kernels are kernel-CONFIG.txz and disk-test-CONFIG.img.zst. LINK
// is latest (built), latest_vm, latest_testvm or latest_tested
// (jjb/template.yaml). It is a symbolic link on the server, not a redirect, so
// the commit is read from its revision.txt. BRANCH is main or stable-N, with a
// hyphen.
//
// Jenkins polls every five minutes and builds the newest commit only
// (jjb/template.yaml, pollscm), and what does not build is not published: most
// commits that follow each other closely have no artifacts, ever. Files go up
// one by one over FTP, so a folder can be there before its files are, and a job
// that is run again replaces files with others of the same name.
//
// MANIFEST has one line per set: file, SHA-256, number of entries, name,
// description, on or off, parted by tabs (freebsd-src,
// release/scripts/make-manifest.sh). Disk images are not in it: they are checked
// by the checksums inside zstd. Release and snapshot images on
// download.freebsd.org have a CHECKSUM.SHA256 beside them, with lines of
// "SHA256 (file) = hex".
//
// # The test image
//
// disk-test.img of amd64 is a GPT disk with gptboot, swap and a UFS root, without
// an EFI system partition: it boots from a BIOS, not from OVMF; that of arm64 has
// one (build-test_image-head.sh). Its loader.conf names no console, because the
// CI boots amd64 under bhyve: under QEMU the loader must be told to use the
// serial one.
//
// On its first boot, and only then (the rc.d keyword firstboot), the script
// scripts/build/config-head/testvm/override/usr/local/etc/rc.d/freebsdci
// (etc/rc.local in stable/13)
//
//   - looks at /dev/vtbd0, vtbd1, ada0 and ada1 for the first that file(1) calls
//     a "POSIX tar archive",
//   - unpacks it into /meta and runs `sh -ex /meta/run.sh`, whatever the result,
//   - writes `tar cvf DEVICE -C /meta .` over the start of the same device,
//   - powers off when /meta/auto-shutdown exists.
//
// The host makes that disk by appending a tar of run.sh and its helpers to an
// empty file of 512 MiB, attached as second disk, and reads the results,
// test-report.txt and test-report.xml, from it with tar (scripts/test/
// create-meta.sh, run-tests.sh, subr/run-kyua.sh, extract-meta.sh). Nothing there
// tells results from a disk that the guest never wrote: a Meta asks for a marker.
//
// # Whose fault
//
// Untestable tells the errors that speak of one commit, which a search goes
// around, from faults of the rig, which are *runners.InfraError.
package artifacts
