package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/headwatch/headwatch/orchestrator"
)

type vmOptions struct {
	machine string
	gdb     bool
}

func vmCommand(a *app) *cobra.Command {
	var o vmOptions
	cmd := &cobra.Command{
		Use: "vm IMAGE", Short: "an interactive guest",
		Long: `Boots an image of the state directory with its console on this terminal: Ctrl-A x
ends the guest, Ctrl-A c turns to QEMU's monitor. Nobody is on the agent's channel, and
what the guest writes to its disk is forgotten. IMAGE is an id, as run and build print
them, or the start of one.

With --gdb QEMU's stub listens on a free port of this host, which is printed with a
command that debugs the kernel; the debug file is laid out beside the image if it
has one. Exit 0 when the guest has ended, 125 when it could not be started.`,
		Example: `  headwatch vm sha256:1f2e3d
  headwatch vm --gdb $(headwatch build --src /usr/src --target freebsd-amd64)`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return a.vm(cmd.Context(), args[0], o) },
	}
	f := cmd.Flags()
	f.StringVar(&o.machine, "machine", "small", "`machine` of the pipeline")
	f.BoolVar(&o.gdb, "gdb", false, "listen for a debugger")
	return cmd
}

func (a *app) vm(ctx context.Context, image string, o vmOptions) error {
	if a.json {
		return usagef("--json: an interactive guest has no document")
	}
	file, err := a.loadPipeline()
	if err != nil {
		return err
	}
	m, ok := file.Machines[o.machine]
	if !ok {
		return usagef("%s: no machine %q; it has %s", file.Path, o.machine, names(file.Machines))
	}
	dir, err := a.stateDir()
	if err != nil {
		return err
	}
	if _, err := os.Stat(imagesPath(dir)); err != nil {
		return usagef("%s: %s has no images", image, dir)
	}
	b, err := a.openBench(file, dir, "vm")
	if err != nil {
		return rig(err)
	}
	defer b.close()
	id, err := b.imageNamed(image)
	if err != nil {
		return err
	}
	room := filepath.Join(b.scratch.dir, "vm")
	laid, err := b.builder.Open(ctx, id, room)
	if err != nil {
		return rig(err)
	}
	s := orchestrator.Spec(m)
	if o.gdb {
		if s.ExtraArgs, err = a.listenForGDB(ctx, b, id, room); err != nil {
			return rig(err)
		}
	}
	if b.lock != nil { // who sits at a guest must not keep others from the state directory
		b.lock.release()
		b.lock = nil
	}
	return rig(attended(b.runner.Command(laid, s), room))
}

// imageNamed is the one image whose id begins so.
func (b *workbench) imageNamed(start string) (string, error) {
	all, err := b.images.List()
	if err != nil {
		return "", rig(err)
	}
	var found []string
	for _, e := range all {
		if strings.HasPrefix(e.ID, start) || strings.HasPrefix(e.ID, "sha256:"+start) {
			found = append(found, e.ID)
		}
	}
	switch len(found) {
	case 0:
		return "", usagef("%s: no such image in %s", start, b.dir)
	case 1:
		return found[0], nil
	}
	return "", usagef("%s: %d images begin so", start, len(found))
}

// listenForGDB are arguments for QEMU's stub, on a port that was free a moment ago.
func (a *app) listenForGDB(ctx context.Context, b *workbench, image, room string) ([]string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	at := l.Addr().String()
	if err := l.Close(); err != nil {
		return nil, err
	}
	debug, err := b.builder.Debug(ctx, image, room)
	if err != nil {
		return nil, err
	}
	if debug == "" {
		fmt.Fprintf(a.stderr, "headwatch: for a debugger: target remote %s\n", at)
	} else {
		fmt.Fprintf(a.stderr, "headwatch: gdb -ex 'target remote %s' %s\n", at, debug)
	}
	return []string{"-gdb", "tcp:" + at}, nil
}

// attended runs a command on the terminal until it ends.
func attended(command, dir string) error {
	cmd := exec.Command("sh", "-c", "exec "+command)
	cmd.Dir, cmd.Stdin, cmd.Stdout, cmd.Stderr = dir, os.Stdin, os.Stdout, os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("run qemu: %w", err)
	}
	return nil
}
