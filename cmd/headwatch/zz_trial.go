package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"time"

	"github.com/headwatch/headwatch/suites"
	kernel "github.com/headwatch/headwatch/suites/kernel/guest"
	tcp "github.com/headwatch/headwatch/suites/tcp/guest"
	"github.com/headwatch/headwatch/suites/wire"
	"github.com/headwatch/headwatch/suites/wire/capture"
	"github.com/headwatch/headwatch/suites/wire/judge"
	"github.com/headwatch/headwatch/suites/wire/peer"
	"github.com/headwatch/headwatch/suites/wire/plot"
)

func trial(fail bool) suites.Case {
	name := "passes"
	if fail {
		name = "fails"
	}
	return suites.Case{Name: name, Layer: suites.Smoke, Summary: "trial", Timeout: 50 * time.Second, Run: func(ctx context.Context, t *suites.T) (err error) {
		f, err := t.Keep("wire.pcapng", "application/x-pcapng")
		if err != nil {
			return err
		}
		w := bufio.NewWriter(f)
		sink := capture.NewWriter(w, time.Now())
		path := wire.Path(20e6, wire.Duration(20*time.Millisecond), 64<<10)
		c, err := wire.New(wire.Config{Seed: 3, Trace: wire.TraceOptions{Sink: sink}, Rules: append([]wire.Rule{{Name: "loss", Match: wire.Match{Dir: wire.FromGuest, Data: true, Probability: .01}, Do: wire.Action{Drop: true}}}, path...)})
		if err != nil {
			return err
		}
		if err := c.NIC(0).Plug(t.Guest.Wire(0)); err != nil {
			return err
		}
		host, err := peer.NewStack(c.NIC(0), peer.StackOptions{})
		if err != nil {
			return err
		}
		var ifs []kernel.Interface
		if err := t.Guest.Call(ctx, kernel.OpInterfaces, struct{}{}, &ifs); err != nil {
			return err
		}
		for _, i := range ifs {
			if i.MAC == t.Guest.MACs()[0] {
				up := true
				if err := errors.Join(t.Guest.Call(ctx, kernel.OpInterface, kernel.InterfaceArgs{Name: i.Name, Up: &up}, nil),
					t.Guest.Call(ctx, kernel.OpAddress, kernel.AddressArgs{Interface: i.Name, Address: "10.77.0.2/24"}, nil)); err != nil {
					return err
				}
			}
		}
		l, err := host.Listen("tcp4", 80)
		if err != nil {
			return err
		}
		got := make(chan error, 1)
		go func() {
			conn, err := l.Accept()
			if err == nil {
				_, err = io.Copy(io.Discard, conn)
				conn.Close()
			}
			got <- err
		}()
		var s tcp.Socket
		if err := t.Guest.Call(ctx, tcp.OpConnect, tcp.ConnectArgs{Network: "tcp4", Addr: netip.AddrPortFrom(host.Address().V4.Addr(), 80).String(), TimeoutS: 10}, &s); err != nil || s.ID == 0 {
			return fmt.Errorf("%v %+v", err, s)
		}
		var m tcp.Moved
		if err := t.Guest.Call(ctx, tcp.OpSend, tcp.SendArgs{ID: s.ID, Seed: 1, Bytes: 1 << 20, StallS: 20, Shut: true}, &m); err != nil {
			return err
		}
		if err := <-got; err != nil {
			return err
		}
		l.Close()
		host.Close()
		tr, err := c.Close()
		if err := errors.Join(err, sink.Close(), w.Flush(), f.Close()); err != nil {
			return err
		}
		for _, p := range plot.Pictures(tr, judge.Analyze(tr.Events, judge.FreeBSD(100), judge.Expect{})) {
			if err := t.Save(p.Name(), "image/svg+xml", func(w io.Writer) error { return p.SVG(w, plot.Options{}) }); err != nil {
				return err
			}
		}
		if fail {
			return suites.Failf("as asked")
		}
		return nil
	}}
}
