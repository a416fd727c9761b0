package linux

import (
	"bytes"
	"encoding/json"
	"io"
	"io/fs"
	"path"

	"github.com/headwatch/headwatch/runners"
	"github.com/headwatch/headwatch/runners/build/images"
)

// baseModules are what a machine needs whatever the commit says: virtio with its
// buses and console (the agent's channel), random numbers, and the NIC models.
// The kernel flavours differ in what they have of them; what one lacks is left
// out.
var baseModules = []string{
	"virtio", "virtio_ring", "virtio_pci_modern_dev", "virtio_pci_legacy_dev", "virtio_pci",
	"virtio_console", "rng_core", "virtio_rng",
	"virtio_net", "vmxnet3", "e1000", "e1000e", "8139cp", "8139too",
}

// channelModules are the base modules without which the agent cannot answer over
// its usual channel.
var channelModules = []string{"virtio_pci", "virtio_console"}

// mountPoints exist in every guest, for the agent to mount on or work in.
var mountPoints = []string{"dev", "etc", "lib", "mnt", "proc", "root", "run", "sys", "var"}

// guestConfig is /etc/headwatch.json: what the agent does as PID 1 before it
// answers, in this order.
type guestConfig struct {
	Modules []string    `json:"modules"` // absolute paths, each after what it needs
	Sysctls [][2]string `json:"sysctls"` // name with dots, value
}

// tree collects the nodes of one archive. base is the archive unpacked before
// it.
type tree struct {
	nodes map[string]node
	base  *tree
}

func newTree(base *tree) *tree { return &tree{nodes: make(map[string]node), base: base} }

func (t *tree) find(name string) (node, bool) {
	for ; t != nil; t = t.base {
		if n, ok := t.nodes[name]; ok {
			return n, true
		}
	}
	return node{}, false
}

// add puts a node in its place, below folders that it makes where they lack.
func (t *tree) add(n node) {
	for dir := path.Dir(n.name); dir != "."; dir = path.Dir(dir) {
		if _, ok := t.find(dir); !ok {
			t.nodes[dir] = node{name: dir, mode: fs.ModeDir | 0o755}
		}
	}
	t.nodes[n.name] = n
}

func (t *tree) addModules(list []module) {
	for _, m := range list {
		t.add(node{name: m.guest, mode: 0o644, size: m.size, open: m.open})
	}
}

func (t *tree) artifact() images.Artifact {
	return images.Artifact{Role: images.RoleInitrd, Write: func(w io.Writer) error {
		list := make([]node, 0, len(t.nodes))
		for _, n := range t.nodes {
			list = append(list, n)
		}
		return writeCPIO(w, list)
	}}
}

func bytesNode(name string, mode fs.FileMode, content []byte) node {
	return node{name: name, mode: mode, size: int64(len(content)), open: func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(content)), nil
	}}
}

// commonTree is the first part of the initial RAM file system, equal for all
// commits of a target: agent, device nodes, mount points, modules.
func commonTree(agent []byte, mods []module) *tree {
	t := newTree(nil)
	for _, dir := range mountPoints {
		t.add(node{name: dir, mode: fs.ModeDir | 0o755})
	}
	t.add(node{name: "tmp", mode: fs.ModeDir | fs.ModeSticky | 0o777})
	const device = fs.ModeDevice | fs.ModeCharDevice
	t.add(node{name: "dev/console", mode: device | 0o600, major: 5, minor: 1})
	t.add(node{name: "dev/null", mode: device | 0o666, major: 1, minor: 3})
	t.add(bytesNode("init", 0o755, agent))
	t.addModules(mods)
	return t
}

// commitTree is the second part: what the overlay adds, and the agent's
// configuration for both parts. It returns a *runners.BuildError when the overlay
// would replace something.
func commitTree(common *tree, commonMods, mods []module, o *overlay) (*tree, error) {
	t := newTree(common)
	cfg := guestConfig{Modules: []string{}, Sysctls: [][2]string{}}
	for _, list := range [][]module{commonMods, mods} {
		for _, m := range list {
			cfg.Modules = append(cfg.Modules, "/"+m.guest)
		}
	}
	for _, s := range o.sysctls {
		cfg.Sysctls = append(cfg.Sysctls, [2]string{s.key, s.value})
	}
	text, err := json.MarshalIndent(cfg, "", "\t")
	if err != nil {
		return nil, err
	}
	t.add(bytesNode("etc/headwatch.json", 0o644, append(text, '\n')))
	t.addModules(mods)
	for _, n := range o.files {
		old, ok := t.find(n.name)
		switch {
		case !ok:
			t.add(n)
		case !old.mode.IsDir() || !n.mode.IsDir():
			return nil, &runners.BuildError{Reason: path.Join(o.name, "files", n.name) + ": would replace /" + n.name + ", which belongs to the guest"}
		}
	}
	return t, nil
}
