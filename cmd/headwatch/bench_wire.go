package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/headwatch/headwatch/suites/wire/bench"
)

func benchWireCommand(a *app) *cobra.Command {
	var o bench.Options
	cmd := &cobra.Command{
		Use: "wire", Short: "how many frames a wire forwards, and how late they are", Args: cobra.NoArgs,
		Long: `Sends frames from one unix socket through two NICs of a cable to another one,
asked by rules and captured to a file, as fast as they are taken. Then sends single
frames, in turns with a mere copy between two sockets, and prints what the cable
adds to their delay.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if o.Frames < 1000 || o.Rounds < 1 || o.Samples < 100 || o.Length < 60 || o.Length > 1514 {
				return usagef("want at least 1000 frames, 1 round and 100 samples, and frames of 60 to 1514 bytes")
			}
			return a.benchWire(cmd.Context(), o)
		},
	}
	cmd.Flags().IntVar(&o.Frames, "frames", 300_000, "frames of each round for the rate")
	cmd.Flags().IntVar(&o.Rounds, "rounds", 7, "rounds for the rate")
	cmd.Flags().IntVar(&o.Length, "length", 256, "bytes of a frame")
	cmd.Flags().IntVar(&o.Samples, "samples", 10_000, "frames for the delay")
	return cmd
}

func (a *app) benchWire(ctx context.Context, o bench.Options) error {
	state, err := a.stateDir()
	if err != nil {
		return err
	}
	room, err := claimScratch(state, "bench")
	if err != nil {
		return rig(err)
	}
	defer room.release()
	o.Dir = room.dir
	r, err := bench.Run(ctx, o)
	if err != nil {
		return rig(err)
	}
	if a.json {
		return rig(a.document(r))
	}
	const us = 1e6
	fmt.Fprintf(a.stdout, "forwarded        %8.0f frames/s of %d bytes, median of %d rounds; best %.0f (limit %.0f)\n", r.Rate, r.Length, r.Rounds, r.RateBest, r.RateLimit)
	fmt.Fprintf(a.stdout, "                 %8.2f µs of CPU time for each, with its sender and receiver; %d dropped, %d not captured\n", r.CPU, r.Dropped, r.Unsaved)
	fmt.Fprintf(a.stdout, "added delay      %8.1f µs median (limit %.0f µs), %.1f µs p99\n", us*r.Added, us*r.AddedLimit, us*r.AddedP99)
	fmt.Fprintf(a.stdout, "                 %8.1f µs median and %.1f µs p99 through the cable, %.1f and %.1f through a copy\n", us*r.Median, us*r.P99, us*r.Bare, us*r.BareP99)
	fmt.Fprintf(a.stdout, "delayed frames   %8.1f µs late, median; %.1f µs p99\n", us*r.Late, us*r.LateP99)
	fmt.Fprintf(a.stdout, "load             %8.2f when it began\n", r.Load)
	return nil
}
