package qemu

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/headwatch/headwatch/runners"
)

// Firmware is UEFI for a machine that boots from its disk.
type Firmware struct {
	Path string
	// Code says that the file is only the firmware's code, which wants to be flash.
	// A whole image starts faster as a plain ROM, by 0.9 s of 3.9 under emulation.
	// Neither gets a place for its variables: it keeps them in memory, so every boot
	// is a first one.
	Code bool
}

func (f Firmware) args() []string {
	switch {
	case f.Path == "":
		return nil
	case f.Code:
		return []string{"-drive", "if=pflash,unit=0,format=raw,readonly=on,file=" + escaped(f.Path), "-boot", "strict=on"}
	}
	return []string{"-bios", f.Path, "-boot", "strict=on"}
}

// firmwares are the places of UEFI without Secure Boot for amd64, the fastest
// first: Debian's package ovmf, Arch's edk2-ovmf, Fedora's edk2-ovmf, and
// FreeBSD's edk2-qemu-x64.
var firmwares = []Firmware{
	{Path: "/usr/share/ovmf/OVMF.fd"},
	{Path: "/usr/local/share/edk2-qemu/QEMU_UEFI-x86_64.fd"},
	{Path: "/usr/share/edk2/x64/OVMF.4m.fd"},
	{Path: "/usr/share/OVMF/OVMF_CODE_4M.fd", Code: true},
	{Path: "/usr/share/edk2/ovmf/OVMF_CODE.fd", Code: true},
	{Path: "/usr/local/share/edk2-qemu/QEMU_UEFI_CODE-x86_64.fd", Code: true},
}

// ownFirmware is what some builds of QEMU bring along, relative to the folder of
// its binary.
const ownFirmware = "../share/qemu/edk2-x86_64-code.fd"

// UEFI is the firmware that boots disks.
func (r *Runner) UEFI() (string, error) {
	binary, err := r.binary()
	if err != nil {
		return "", err
	}
	f, err := findFirmware(binary, firmwares)
	return f.Path, err
}

// findFirmware returns the first of places that is there, or else what came with
// QEMU; without any the error is a *runners.InfraError.
func findFirmware(binary string, places []Firmware) (Firmware, error) {
	own := Firmware{Path: filepath.Join(filepath.Dir(binary), ownFirmware), Code: true}
	for _, f := range append(places[:len(places):len(places)], own) {
		if st, err := os.Stat(f.Path); err == nil && st.Mode().IsRegular() {
			return f, nil
		} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return Firmware{}, &runners.InfraError{Op: "find UEFI firmware", Err: err}
		}
	}
	return Firmware{}, &runners.InfraError{
		Op: "find UEFI firmware to boot from a disk", Err: fs.ErrNotExist,
		Hint: "run make setup, or install ovmf (FreeBSD: edk2-qemu-x64)",
	}
}
