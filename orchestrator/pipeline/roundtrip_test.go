package pipeline

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"gopkg.in/yaml.v3"
	"pgregory.net/rapid"

	"github.com/headwatch/headwatch/suites"
)

// TestRoundTrip draws files, writes them as YAML and reads them back.
func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := drawFile(t)
		data, err := yaml.Marshal(render(want))
		if err != nil {
			t.Fatal(err)
		}
		got, err := Parse("drawn.yaml", data, rig)
		if err != nil {
			t.Fatalf("%v\n%s", err, data)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("-want +got:\n%s\n%s", diff, data)
		}
		if got.Digest() != want.Digest() {
			t.Fatal("digests differ")
		}
	})
}

func drawFile(t *rapid.T) *File {
	names := rapid.SliceOfNDistinct(rapid.StringMatching(`[a-z0-9][a-z0-9-]{0,39}`), 1, 4, rapid.ID[string])
	f := &File{
		Path: "drawn.yaml", Upstreams: map[string]Upstream{}, Targets: map[string]Target{}, Machines: map[string]Machine{},
		Layers: map[suites.Layer]Layer{}, Schedules: map[string]Schedule{}, Notify: map[string]Sink{},
	}
	seconds := rapid.Int64Range(1, int64(week/time.Second))
	for _, name := range names.Draw(t, "upstreams") {
		f.Upstreams[name] = Upstream{
			Name: name, Git: rapid.StringMatching(`/[a-z/]{1,20}`).Draw(t, "git"),
			Branch: rapid.StringMatching(`[a-z]{1,9}(/[0-9]{1,4})?`).Draw(t, "branch"),
			Poll:   time.Duration(seconds.Draw(t, "poll")) * time.Second, Commits: rapid.SampledFrom([]string{"newest", "every"}).Draw(t, "commits"),
			Backfill: rapid.IntRange(1, 10_000).Draw(t, "backfill"),
		}
	}
	for _, name := range names.Draw(t, "targets") {
		f.Targets[name] = drawTarget(t, name)
	}
	for _, name := range names.Draw(t, "machines") {
		f.Machines[name] = Machine{
			Name: name, SMP: rapid.IntRange(2, 64).Draw(t, "smp"), Memory: rapid.IntRange(128, 64<<10).Draw(t, "memory"),
			Accel:   rapid.SampledFrom([]string{"auto", "kvm"}).Draw(t, "accel"),
			Control: rapid.SampledFrom([]string{"virtio", "serial"}).Draw(t, "control"),
			NICs:    []NIC{drawNIC(t)},
		}
	}
	layers := rapid.SliceOfNDistinct(rapid.SampledFrom([]suites.Layer{suites.Smoke, suites.Stress, suites.Soak}), 1, 3, rapid.ID[suites.Layer]).Draw(t, "layers")
	slices.Sort(layers)
	for _, l := range layers {
		suite := map[suites.Layer]string{suites.Smoke: "basic", suites.Stress: "races", suites.Soak: "pages"}[l]
		f.Layers[l] = Layer{l, []string{suite}, time.Duration(seconds.Draw(t, "timeout")) * time.Second, rapid.IntRange(1, 1000).Draw(t, "repeat")}
	}
	// One entry per upstream, so that no cell comes twice.
	for _, u := range slices.Sorted(maps.Keys(f.Upstreams)) {
		f.Matrix = append(f.Matrix, Entry{[]string{u}, slices.Sorted(maps.Keys(f.Targets)), slices.Sorted(maps.Keys(f.Machines)), layers})
	}
	for _, name := range names.Draw(t, "schedules") {
		cron := fmt.Sprintf("%d %d * * *", rapid.IntRange(0, 59).Draw(t, "minute"), rapid.IntRange(0, 23).Draw(t, "hour"))
		f.Schedules[name] = Schedule{name, cron, slices.Sorted(maps.Keys(f.Upstreams)), layers}
		f.Notify[name] = Sink{Name: name, Mail: "a@example.org"}
	}
	return f
}

func drawTarget(t *rapid.T, name string) Target {
	if rapid.Bool().Draw(t, "linux") {
		return Target{
			Name: name, OS: "linux", Arch: "amd64", Source: "package", Kernel: "cloud", Boot: "direct", Overlay: "guest",
			Cmdline: rapid.SliceOfN(rapid.StringMatching(`[a-z_.]{1,8}(=("[a-z ]{0,8}"|[0-9]{1,4}))?`), 1, 5).Draw(t, "cmdline"),
		}
	}
	return Target{
		Name: name, OS: "freebsd", Arch: "arm64", Source: "tree", Config: "GENERIC", World: rapid.Bool().Draw(t, "world"), Boot: "loader",
		Fragments: rapid.SliceOfN(rapid.StringMatching(`(device|options)\t?[ ][a-zA-Z_=0-9#:'"]{1,9}`), 1, 3).Draw(t, "fragments"),
		Modules:   []string{"if_vtnet"},
	}
}

// render writes a file in the human forms.
func render(f *File) map[string]any {
	upstreams, targets, machines, layers := map[string]any{}, map[string]any{}, map[string]any{}, map[string]any{}
	for name, u := range f.Upstreams {
		upstreams[name] = map[string]any{"git": u.Git, "branch": u.Branch, "poll": u.Poll.String(), "commits": u.Commits, "backfill": u.Backfill}
	}
	for name, g := range f.Targets {
		m := map[string]any{"os": g.OS, "arch": g.Arch, "source": g.Source, "boot": g.Boot, "world": g.World, "modules": g.Modules}
		if g.OS == "linux" {
			m["kernel"], m["overlay"], m["cmdline"] = g.Kernel, g.Overlay, strings.Join(g.Cmdline, "  ")
		} else {
			m["config"], m["fragments"], m["cmdline"] = g.Config, g.Fragments, []string{}
		}
		targets[name] = m
	}
	for name, m := range f.Machines {
		memory := fmt.Sprintf("%dM", m.Memory)
		if m.Memory%1024 == 0 {
			memory = fmt.Sprintf("%dG", m.Memory/1024)
		}
		machines[name] = map[string]any{"smp": m.SMP, "memory": memory, "accel": m.Accel, "control": m.Control, "nics": []string{m.NICs[0].String()}}
	}
	for l, v := range f.Layers {
		layers[l.String()] = map[string]any{"suites": v.Suites, "timeout": v.Timeout.String(), "repeat": v.Repeat}
	}
	var matrix []any
	for _, e := range f.Matrix {
		matrix = append(matrix, map[string]any{"upstreams": e.Upstreams, "targets": e.Targets, "machines": e.Machines, "layers": layerNames(e.Layers)})
	}
	schedules, notify := map[string]any{}, map[string]any{}
	for name, s := range f.Schedules {
		schedules[name] = map[string]any{"cron": s.Cron, "upstreams": s.Upstreams, "layers": layerNames(s.Layers)}
		notify[name] = map[string]any{"mail": f.Notify[name].Mail}
	}
	return map[string]any{
		"upstreams": upstreams, "targets": targets, "machines": machines, "layers": layers,
		"matrix": matrix, "schedules": schedules, "notify": notify,
	}
}

// drawNIC draws a NIC, with options as its link has them.
func drawNIC(t *rapid.T) NIC {
	switches := rapid.SampledFrom([]string{"", "on", "off"})
	return NIC{
		Model: rapid.SampledFrom([]string{"virtio-net", "vmxnet3"}).Draw(t, "model"), Link: rapid.SampledFrom(rig.NICLinks).Draw(t, "link"),
		MAC:    rapid.SampledFrom([]string{"", "52:54:00:68:77:01"}).Draw(t, "mac"),
		Queues: rapid.IntRange(0, 64).Draw(t, "queues"), MTU: rapid.IntRange(0, 65535).Draw(t, "mtu"),
		TSO: switches.Draw(t, "tso"), LRO: switches.Draw(t, "lro"), Checksum: switches.Draw(t, "csum"),
		Bridge: rapid.SampledFrom([]string{"", "br0"}).Draw(t, "bridge"), Port: rapid.SampledFrom([]string{"", "eth1"}).Draw(t, "port"),
	}
}
