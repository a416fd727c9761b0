//go:build linux || freebsd

// Headwatch-agent is headwatch's hand inside a guest: a static program that
// answers the host over a virtio-serial port or the second UART and performs
// small operations for the suites. What a case means is decided on the host.
//
// A kernel that has nothing else starts it as the first process: as /init of an
// initial RAM file system on Linux, by init_path on FreeBSD. It then mounts what
// programs expect, loads the modules and writes the sysctls that
// /etc/headwatch.json names, and brings the loopback up. On a full system it
// runs as a service and leaves the system as it found it.
//
// As the first process it never exits, whatever happens. That is why it only
// starts a second copy of itself, which does everything else, and reaps orphans:
// a fault that takes the copy down, even the kernel's out-of-memory killer,
// leaves somebody to say so on the console and power off. The host then sees a
// stream without its end marker.
//
// Kernel arguments (Linux: command line, FreeBSD: kenv):
//
//	headwatch.control=serial   use the second UART, even where there is a virtio port
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"syscall"

	"github.com/headwatch/headwatch/runners/guest"
	kyua "github.com/headwatch/headwatch/suites/kyua/guest"
	superpage "github.com/headwatch/headwatch/suites/superpage/guest"
)

// version is said in the handshake. It rises when an operation changes what it
// means.
const version = "3"

// configPath is where the image's builder left what the guest needs.
const configPath = "/etc/headwatch.json"

func main() {
	if os.Getpid() == 1 {
		beFirst()
	}
	if len(os.Args) == 3 && os.Args[1] == superpage.Flag {
		if err := superpage.Perform(context.Background(), os.Args[2], os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	boot := flag.Bool("boot", false, "prepare the system first: mounts, modules, sysctls, loopback")
	flag.Parse()
	if flag.NArg() > 0 {
		fmt.Fprintf(os.Stderr, "unexpected argument %q\n", flag.Arg(0))
		os.Exit(2)
	}
	if err := run(*boot, console{os.Stderr}); err != nil {
		console{os.Stderr}.say("%v", err)
		os.Exit(1)
	}
}

// run serves hosts until one asks for power-off, the service manager stops it,
// or there is no way on.
func run(boot bool, out console) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	var setup setup
	if boot {
		config, err := readConfig(configPath)
		if err != nil {
			return err
		}
		setup = prepare(config)
	}
	setup.Steps = append(setup.Steps, setDebugger())
	for _, note := range setup.faults() {
		out.say("%s", note)
	}
	control, err := openControl(ctx, out)
	if err != nil {
		return err
	}
	defer control.port.Close()
	hello, err := introduce()
	if err != nil {
		return err
	}
	hello.Window = control.window()
	tests := kyua.NewRuns()
	defer tests.Close()
	a := &agent{
		control: control,
		hello:   hello,
		ops:     operations(control, setup, tests),
		out:     out,
		flush:   func() { flush(out) },
		off:     powerOff,
	}
	err = a.serve(ctx)
	if ctx.Err() != nil {
		return nil // the service manager's wish
	}
	return err
}

func introduce() (guest.Hello, error) {
	id, err := bootID()
	if err != nil {
		return guest.Hello{}, fmt.Errorf("boot id: %w", err)
	}
	kernel, err := release()
	if err != nil {
		return guest.Hello{}, fmt.Errorf("kernel release: %w", err)
	}
	return guest.Hello{
		BootID: id, OS: runtime.GOOS, Arch: runtime.GOARCH, Kernel: kernel,
		Agent: version, CPUs: runtime.NumCPU(),
	}, nil
}
