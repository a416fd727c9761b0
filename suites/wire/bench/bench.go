// Package bench measures how many frames a cable forwards, and how late they are.
//
// Both go over a real unix socket pair, as QEMU's do, with rules that every frame is
// asked by and with a capture of everything to a file.
package bench

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"slices"
	"syscall"
	"time"

	"github.com/headwatch/headwatch/suites/wire"
	"github.com/headwatch/headwatch/suites/wire/capture"
)

// Options of a measurement. Zero fields take the defaults.
type Options struct {
	Dir     string        // of the captures; default: the system's for temporary files
	Frames  int           // of each round for the rate; default 300000
	Rounds  int           // for the rate; default 7
	Length  int           // of a frame, in bytes, 60 to 1514; default 256
	Samples int           // for the delay; default 10000
	Pause   time.Duration // between samples; default 100 µs
	Snap    int           // bytes of a frame that are captured; default 96
}

func (o Options) filled() (Options, error) {
	if o.Frames == 0 {
		o.Frames = 300_000
	}
	if o.Rounds == 0 {
		o.Rounds = 7
	}
	if o.Length == 0 {
		o.Length = 256
	}
	if o.Samples == 0 {
		o.Samples = 10_000
	}
	if o.Pause == 0 {
		o.Pause = 100 * time.Microsecond
	}
	if o.Snap == 0 {
		o.Snap = 96
	}
	if o.Frames < 1 || o.Rounds < 1 || o.Length < 60 || o.Length > 1514 || o.Samples < 1 || o.Pause < 0 || o.Snap < 1 {
		return o, fmt.Errorf("bench of %d frames of %d bytes and %d samples: want frames, 60 to 1514 bytes, and samples", o.Frames, o.Length, o.Samples)
	}
	return o, nil
}

// Result is what was measured. A frame goes from a guest to another one, and so
// crosses two NICs: it is two events, asked twice by every rule, and four records of
// the capture.
type Result struct {
	Frames    int     `json:"frames"` // of each round
	Rounds    int     `json:"rounds"`
	Length    int     `json:"length"` // of a frame, in bytes
	Rules     int     `json:"rules"`  // that every frame is asked by
	Rate      float64 `json:"frames_per_s"`
	RateBest  float64 `json:"frames_per_s_best"`
	RateLimit float64 `json:"frames_per_s_limit"`  // above which Rate is to stay
	CPU       float64 `json:"cpu_s_per_1m_frames"` // of this process, which sends and receives them, too
	Dropped   int64   `json:"dropped"`             // of all frames; to be 0
	Unsaved   int64   `json:"unsaved"`             // events that the capture did not get; to be 0
	Captured  int64   `json:"captured"`            // records

	Samples    int     `json:"samples"`  // for the delay, one way
	Median     float64 `json:"median_s"` // through the cable
	P99        float64 `json:"p99_s"`
	Bare       float64 `json:"bare_median_s"` // over two such sockets with nothing but a copy between
	BareP99    float64 `json:"bare_p99_s"`
	Added      float64 `json:"added_median_s"` // Median less Bare
	AddedP99   float64 `json:"added_p99_s"`
	AddedLimit float64 `json:"added_limit_s"` // below which Added is to stay
	Late       float64 `json:"late_median_s"` // how late a frame passes that a rule delays by 5 ms, Median included
	LateP99    float64 `json:"late_p99_s"`
	Load       float64 `json:"load"` // of the host, average of a minute, when it began
}

// The promises.
const (
	rateLimit  = 200_000 // frames/s
	addedLimit = 100e-6  // s
)

// rules are asked of every frame; none changes what becomes of it, but the last.
var rules = []wire.Rule{
	{Name: "second", Match: wire.Match{Dir: wire.FromGuest, Stream: 1, Bytes: wire.Range{From: 14480, To: 15928}, Transmissions: []int{2}}, Do: wire.Action{Drop: true}},
	{Name: "udp loss", Match: wire.Match{Proto: "udp", Probability: .01}, Do: wire.Action{Drop: true}},
	{Name: "reset", Match: wire.Match{Set: wire.RST}, Do: wire.Action{Delay: &wire.Delay{Fixed: wire.Millisecond}}},
	{Name: "other stream", Match: wire.Match{Stream: 2, Every: 3}, Do: wire.Action{CE: true}},
	{Name: "delayed", Match: wire.Match{Dir: wire.FromGuest, Port: 9}, Do: wire.Action{Delay: &wire.Delay{Fixed: delayed}}},
}

const delayed = 5 * wire.Millisecond

// Run measures.
func Run(ctx context.Context, o Options) (Result, error) {
	o, err := o.filled()
	if err != nil {
		return Result{}, err
	}
	r := Result{
		Frames: o.Frames, Rounds: o.Rounds, Length: o.Length, Samples: o.Samples, Load: load(), Rules: len(rules),
		RateLimit: rateLimit, AddedLimit: addedLimit,
	}
	var rates, used []float64
	for range o.Rounds {
		rate, cpu, err := r.rate(ctx, o)
		if err != nil {
			return r, fmt.Errorf("rate: %w", err)
		}
		rates, used = append(rates, rate), append(used, cpu)
	}
	slices.Sort(rates)
	slices.Sort(used)
	r.Rate, r.RateBest, r.CPU = rates[len(rates)/2], rates[len(rates)-1], used[len(used)/2]
	if err := r.delay(ctx, o); err != nil {
		return r, fmt.Errorf("delay: %w", err)
	}
	return r, nil
}

// load is the host's load average of a minute; 0 where it is not known.
func load() float64 {
	b, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return 0
	}
	var l float64
	fmt.Sscan(string(b), &l)
	return l
}

// pair is a unix socket pair.
func pair() (a, b net.Conn, err error) {
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, err
	}
	var ends [2]net.Conn
	var errs []error
	for i, fd := range fds {
		f := os.NewFile(uintptr(fd), "wire")
		ends[i], err = net.FileConn(f)
		errs = append(errs, err, f.Close())
	}
	return ends[0], ends[1], errors.Join(errs...)
}

// rig is a cable between two sockets.
type rig struct {
	cable    *wire.Cable
	in, out  net.Conn
	file     *os.File
	captured *capture.Writer
}

func newRig(o Options) (*rig, error) {
	f, err := os.CreateTemp(o.Dir, "wire-*.pcapng")
	if err != nil {
		return nil, err
	}
	g := &rig{file: f, captured: capture.NewWriter(f, time.Now())}
	g.cable, err = wire.New(wire.Config{Seed: 1, Rules: rules, Trace: wire.TraceOptions{Snap: o.Snap, Sink: g.captured}})
	if err != nil {
		return nil, errors.Join(err, f.Close(), os.Remove(f.Name()))
	}
	var a, b net.Conn
	if g.in, a, err = pair(); err == nil {
		g.out, b, err = pair()
	}
	if err == nil {
		one, two := g.cable.NIC(0), g.cable.NIC(1)
		err = errors.Join(wire.Connect(one, two), one.Plug(a), two.Plug(b))
	}
	if err != nil {
		return nil, errors.Join(err, g.close())
	}
	return g, nil
}

// close ends the rig; what it was told by the trace is of use only after that.
func (g *rig) close() error {
	_, err := g.cable.Close()
	for _, c := range []net.Conn{g.in, g.out} {
		if c != nil {
			err = errors.Join(err, c.Close())
		}
	}
	return errors.Join(err, g.captured.Close(), g.file.Close(), os.Remove(g.file.Name()))
}

// frame is a segment of a stream, to a port.
func frame(length int, seq wire.Seq, port uint16) []byte {
	p := wire.Packet{EtherType: wire.EtherIPv4, Src: netip.AddrFrom4([4]byte{10, 77, 0, 2}), Dst: netip.AddrFrom4([4]byte{10, 77, 0, 1}), Proto: wire.ProtoTCP, IsTCP: true}
	p.TCP = wire.Segment{SrcPort: 40000, DstPort: port, Seq: seq, Flags: wire.ACK, Window: 1024, Payload: make([]byte, max(0, length-54))}
	return p.Append(nil)
}

// patience is how long nothing may come while frames are under way.
const patience = 10 * time.Second

// rate sends all frames of a round as fast as they are taken, and gives frames per
// second and seconds of CPU time for a million.
func (r *Result) rate(ctx context.Context, o Options) (rate, used float64, err error) {
	g, err := newRig(o)
	if err != nil {
		return 0, 0, err
	}
	defer context.AfterFunc(ctx, func() { g.in.Close(); g.out.Close() })()
	const batch = 64
	size := len(frame(o.Length, 0, 80)) - 54
	var out []byte
	sent := make(chan error, 1)
	start, before := time.Now(), cpu()
	go func() {
		for n := 0; n < o.Frames; n += batch {
			out = out[:0]
			for i := n; i < min(n+batch, o.Frames); i++ {
				out = wire.AppendFrame(out, frame(o.Length, wire.Seq(i*size), 80))
			}
			if _, err := g.in.Write(out); err != nil {
				sent <- err
				return
			}
		}
		sent <- nil
	}()
	in := wire.NewReader(g.out)
	var frames [][]byte
	got := 0
	for got < o.Frames && err == nil {
		g.out.SetReadDeadline(time.Now().Add(patience))
		if frames, err = in.Next(frames[:0]); err == nil {
			got += len(frames)
		}
	}
	took := time.Since(start)
	if err != nil {
		g.in.Close()
		err = fmt.Errorf("%d of %d frames came through: %w", got, o.Frames, err)
	}
	err = errors.Join(ctx.Err(), err, <-sent)
	used = (cpu() - before).Seconds() * 1e6 / float64(o.Frames)
	trace, closed := g.cable.Close()
	err = errors.Join(err, closed, g.close())
	r.Dropped += int64(o.Frames - got)
	r.Unsaved += trace.Unsaved
	r.Captured += g.captured.Frames
	return float64(got) / took.Seconds(), used, err
}

// delay sends single frames, by turns through the cable, with a delay, and through a
// mere copy.
func (r *Result) delay(ctx context.Context, o Options) error {
	g, err := newRig(o)
	if err != nil {
		return err
	}
	defer context.AfterFunc(ctx, func() { g.in.Close(); g.out.Close() })()
	bareIn, bareOut, stop, err := bare()
	if err != nil {
		return errors.Join(err, g.close())
	}
	defer context.AfterFunc(ctx, func() { bareIn.Close() })()
	var through, copied, late []time.Duration
	wired, plain := &probe{in: g.in, out: wire.NewReader(g.out)}, &probe{in: bareIn, out: wire.NewReader(bareOut)}
	size := o.Length - 54
	for i := 0; i < o.Samples && err == nil; i++ {
		var one, two, three time.Duration
		one, err = wired.once(frame(o.Length, wire.Seq(i*size), 80), o.Pause)
		if err == nil {
			two, err = plain.once(frame(o.Length, wire.Seq(i*size), 80), o.Pause)
		}
		if err == nil && i%50 == 0 {
			three, err = wired.once(frame(o.Length, wire.Seq(i*size), 9), o.Pause)
			late = append(late, three-time.Duration(delayed))
		}
		through, copied = append(through, one), append(copied, two)
	}
	err = errors.Join(ctx.Err(), err, g.close(), stop())
	if err != nil {
		return err
	}
	r.Median, r.P99 = quantiles(through)
	r.Bare, r.BareP99 = quantiles(copied)
	r.Late, r.LateP99 = quantiles(late)
	r.Added, r.AddedP99 = r.Median-r.Bare, r.P99-r.BareP99
	return nil
}

// bare is what a cable is compared with: two sockets, and a copy between.
func bare() (in, out net.Conn, stop func() error, err error) {
	in, a, err := pair()
	if err != nil {
		return nil, nil, nil, err
	}
	out, b, err := pair()
	if err != nil {
		return nil, nil, nil, errors.Join(err, in.Close(), a.Close())
	}
	done := make(chan error, 1)
	go func() {
		_, err := io.Copy(struct{ io.Writer }{b}, struct{ io.Reader }{a}) // not by splice: through this process
		done <- err
	}()
	return in, out, func() error {
		in.Close()
		err := <-done
		return errors.Join(err, a.Close(), b.Close(), out.Close())
	}, nil
}

// probe sends one frame at a time.
type probe struct {
	in  net.Conn
	out *wire.Reader
	buf []byte
}

func (p *probe) once(f []byte, pause time.Duration) (time.Duration, error) {
	time.Sleep(pause) // so that goroutines are asleep, as they are before a real frame
	start := time.Now()
	p.buf = wire.AppendFrame(p.buf[:0], f)
	if _, err := p.in.Write(p.buf); err != nil {
		return 0, err
	}
	got, err := p.out.Next(nil)
	took := time.Since(start)
	if err == nil && (len(got) != 1 || len(got[0]) != len(f) || binary.BigEndian.Uint32(got[0][38:]) != binary.BigEndian.Uint32(f[38:])) {
		err = errors.New("another frame came out than went in")
	}
	return took, err
}

func quantiles(all []time.Duration) (median, p99 float64) {
	slices.Sort(all)
	return all[len(all)/2].Seconds(), all[len(all)*99/100].Seconds()
}

// cpu is the CPU time of this process.
func cpu() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
