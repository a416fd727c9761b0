package qemu

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"strings"

	"github.com/headwatch/headwatch/runners"
	"github.com/headwatch/headwatch/runners/console"
)

// orphanKernel, in the environment, makes the test binary boot a machine and
// then do nothing: see TestNoQEMUOutlivesItsParent.
const orphanKernel = "HEADWATCH_TEST_ORPHAN"

func bootAndHang() {
	part := strings.Split(os.Getenv(orphanKernel), "\n")
	b := runners.Bootable{Image: runners.Image{OS: "linux", Arch: "amd64"}, Kernel: part[0], Initrd: part[1]}
	s := runners.Spec{SMP: 1, Memory: 128, Accel: "tcg", Dir: part[2], ConsoleLog: console.New(console.Options{})}
	o, err := New(Config{}).options(context.Background(), &b, s)
	if err == nil {
		var v *vm
		if v, err = startVM(context.Background(), o, substance{}, s.Dir, s.ConsoleLog, slog.New(slog.DiscardHandler)); err == nil {
			fmt.Println(v.proc.cmd.Process.Pid)
			select {}
		}
	}
	fmt.Println(err)
	os.Exit(1)
}
