package linux

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/headwatch/headwatch/runners"
)

const modulesDir = "/lib/modules/" + testRelease + "/kernel/"

// mustBuild builds and lays out an image.
func mustBuild(t *testing.T, b *Builder, r runners.Recipe, dir string) (runners.Bootable, string) {
	t.Helper()
	var log bytes.Buffer
	img, err := b.Build(t.Context(), r, runners.Tree{Dir: dir}, &log)
	if err != nil {
		t.Fatal(err)
	}
	laid, err := b.cfg.Store.Open(t.Context(), img.ID, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return laid, log.String()
}

// guestFiles unpacks an initrd as the kernel does: what comes later wins.
func guestFiles(t *testing.T, b runners.Bootable) map[string]archived {
	t.Helper()
	data, err := os.ReadFile(b.Initrd)
	if err != nil {
		t.Fatal(err)
	}
	list, err := readCPIO(data)
	if err != nil {
		t.Fatal(err)
	}
	files := make(map[string]archived)
	for _, e := range list {
		if _, twice := files[e.name]; twice {
			t.Errorf("%s is there twice", e.name)
		}
		files[e.name] = e
		if parent := filepath.Dir(e.name); parent != "." && files[parent].mode&cpioDir == 0 {
			t.Errorf("%s comes before its folder", e.name)
		}
	}
	return files
}

func TestBuild(t *testing.T) {
	b := testBuilder(t, testKernels(t))
	tree := t.TempDir()
	writeFile(t, tree, "guest/cmdline", "# ours\nnokaslr quiet\n")
	writeFile(t, tree, "guest/modules", "tcp_bbr\nsch-fq # pacing\nrng_core\n")
	writeFile(t, tree, "guest/sysctl.conf", "net.ipv4.tcp_sack = 0\n")
	writeFile(t, tree, "guest/files/etc/motd", "hello\n")
	writeFile(t, tree, "guest/files/tmp/x", "x")
	writeFile(t, tree, "guest/files/opt/run", "#!/x")
	writeFile(t, tree, "guest/notes.txt", "n")
	if err := os.Chmod(filepath.Join(tree, "guest/files/opt/run"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/etc/motd", filepath.Join(tree, "guest/files/opt/link")); err != nil {
		t.Fatal(err)
	}
	r := testRecipe()
	r.Modules = []string{"virtio_net"}
	laid, log := mustBuild(t, b, r, tree)
	if want := "slab_nomerge panic=-1 nokaslr quiet"; laid.Cmdline != want {
		t.Errorf("cmdline %q, want %q", laid.Cmdline, want)
	}
	kernel, _ := os.ReadFile(laid.Kernel)
	if !bytes.HasPrefix(kernel, []byte("kernel kernel ")) {
		t.Errorf("kernel is %.40q", kernel)
	}
	files := guestFiles(t, laid)
	for name, want := range map[string]archived{
		"init":        {mode: 0o100755, body: "agent of linux/amd64"},
		"dev/console": {mode: 0o20600},
		"dev/null":    {mode: 0o20666},
		"proc":        {mode: 0o40755},
		"tmp":         {mode: 0o41777},
		"tmp/x":       {mode: 0o100644, body: "x"},
		"etc/motd":    {mode: 0o100644, body: "hello\n"},
		"opt/run":     {mode: 0o100755, body: "#!/x"},
		"opt/link":    {mode: 0o120777, body: "/etc/motd"},
	} {
		if got := files[name]; got.mode != want.mode || got.body != want.body {
			t.Errorf("%s: mode %o, %q", name, got.mode, got.body)
		}
	}
	var cfg guestConfig
	if err := json.Unmarshal([]byte(files["etc/headwatch.json"].body), &cfg); err != nil {
		t.Fatal(err)
	}
	checkModules(t, files, cfg.Modules, []string{"virtio_ring", "virtio", "virtio_pci_modern_dev", "virtio_pci", "virtio_console",
		"virtio-rng", "failover", "net_failover", "virtio_net", "tcp_bbr", "sch_fq"})
	if d := cmp.Diff([][2]string{{"net.ipv4.tcp_sack", "0"}}, cfg.Sysctls); d != "" {
		t.Error(d)
	}
	for _, want := range []string{"kernel " + testRelease, "linux-image-test 6.1-1", "modules: virtio_ring virtio ", "modules of the overlay: tcp_bbr sch_fq",
		`"guest/notes.txt" is no part of an overlay`, "image: " + laid.Image.ID} {
		if !strings.Contains(log, want) {
			t.Errorf("log lacks %q:\n%s", want, log)
		}
	}
}

// checkModules compares the load order and looks for every file.
func checkModules(t *testing.T, files map[string]archived, paths, want []string) {
	t.Helper()
	var got []string
	for _, p := range paths {
		got = append(got, strings.TrimSuffix(filepath.Base(p), ".ko"))
		if !strings.HasPrefix(p, modulesDir) || !strings.HasPrefix(files[p[1:]].body, "\x7fELF") {
			t.Errorf("module %s is not in the guest", p)
		}
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("load order: %s", d)
	}
}

func TestBuildIsReproducible(t *testing.T) {
	files := []string{"guest/files/b", "guest/files/a/c", "guest/files/a/b", "guest/modules", "guest/cmdline"}
	var ids, salts []string
	for i := range 2 {
		b := testBuilder(t, testKernels(t))
		tree := t.TempDir()
		for _, f := range files {
			content := f
			if strings.HasSuffix(f, "modules") {
				content = "left\n" // needs right, which needs left
			}
			writeFile(t, tree, f, content)
		}
		if i == 1 { // another umask, another order on disk, another date
			if err := errors.Join(os.Chmod(filepath.Join(tree, files[0]), 0o600), os.Chmod(filepath.Join(tree, "guest/files/a"), 0o700)); err != nil {
				t.Fatal(err)
			}
		}
		slices.Reverse(files)
		laid, _ := mustBuild(t, b, testRecipe(), tree)
		paths, salt, err := b.Inputs(t.Context(), testRecipe())
		if err != nil || !slices.Equal(paths, []string{"guest"}) {
			t.Errorf("inputs: %v, %v", paths, err)
		}
		ids, salts = append(ids, laid.Image.ID), append(salts, salt)
	}
	if ids[0] != ids[1] || salts[0] != salts[1] {
		t.Errorf("two builds differ: %v, salts %v", ids, salts)
	}
}

func TestCommitsShareKernelAndCommonPart(t *testing.T) {
	b := testBuilder(t, testKernels(t))
	var digests [][]string
	for _, content := range []string{"one", "two"} {
		tree := t.TempDir()
		writeFile(t, tree, "guest/files/etc/version", content)
		if content == "two" {
			writeFile(t, tree, "guest/modules", "tcp_bbr\n")
		}
		mustBuild(t, b, testRecipe(), tree)
	}
	for _, e := range wantImages(t, b.cfg.Store, 2) {
		var d []string
		for _, blob := range e.Manifest.Blobs {
			d = append(d, blob.Digest)
		}
		digests = append(digests, d)
	}
	x, y := digests[0], digests[1]
	if len(x) != 3 || len(y) != 3 || x[0] != y[0] || x[1] != y[1] || x[2] == y[2] {
		t.Errorf("blobs %v and %v", x, y)
	}
}

// TestSaltCovers changes one thing at a time of what an image is made of.
func TestSaltCovers(t *testing.T) {
	kernels := testKernels(t)
	cloud := filepath.Join(kernels, "cloud")
	agent := "a"
	b := New(Config{Store: testStore(t), Kernels: kernels, Agent: func(string, string) ([]byte, error) { return []byte(agent), nil }})
	seen := make(map[string]string)
	look := func(what string, r runners.Recipe) {
		t.Helper()
		_, salt, err := b.Inputs(t.Context(), r)
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		if before, ok := seen[salt]; ok {
			t.Errorf("%s changes nothing against %s", what, before)
		}
		seen[salt] = what
		if _, again, _ := b.Inputs(t.Context(), r); again != salt {
			t.Errorf("%s: salt changes by itself", what)
		}
	}
	r := testRecipe()
	look("nothing", r)
	more := r
	more.Cmdline = append(slices.Clone(r.Cmdline), "x")
	look("cmdline", more)
	agent = "b"
	look("agent", r)
	writeFile(t, cloud, "VERSION", "linux-image-test 6.1-2\n")
	look("package version", r)
	writeFile(t, cloud, "boot/vmlinuz-"+testRelease, "another kernel")
	look("kernel", r)
	// A hand-made folder has no version: each of its modules counts.
	if err := os.Remove(filepath.Join(cloud, "VERSION")); err != nil {
		t.Fatal(err)
	}
	r.Kernel = cloud
	look("folder", r)
	writeFile(t, cloud, "lib/modules/"+testRelease+"/kernel/net/ipv4/tcp_bbr.ko", koFile("tcp_bbr")+"patched")
	look("module", r)
}

// TestOverlayAtFault gives overlays that no image may be made of: the source is
// to blame, and nothing is stored.
func TestOverlayAtFault(t *testing.T) {
	link := func(name string) func(string) error {
		return func(tree string) error { return os.Symlink("/etc/passwd", filepath.Join(tree, name)) }
	}
	for _, c := range []struct {
		name, file, content string
		more                func(tree string) error
		want                string
	}{
		{name: "syntax", file: "guest/sysctl.conf", content: "\nx\n", want: `guest/sysctl.conf:2: "x": expected key = value`},
		{name: "cmdline", file: "guest/cmdline", content: "a=\"\n", want: "guest/cmdline:1: unfinished quotes"},
		{name: "long cmdline", file: "guest/cmdline", content: strings.Repeat("arg ", 500), want: "guest/cmdline: kernel arguments of"},
		{name: "module", file: "guest/modules", content: "# x\nno_such\n", want: `guest/modules:2: unknown module "no_such": kernel ` + testRelease},
		{name: "init", file: "guest/files/init", want: "guest/files/init: would replace /init"},
		{name: "init as folder", file: "guest/files/init/x", want: "guest/files/init: would replace /init"},
		{name: "config", file: "guest/files/etc/headwatch.json", want: "would replace /etc/headwatch.json"},
		{name: "etc as file", file: "guest/files/etc", want: "would replace /etc,"},
		{name: "base module", file: "guest/files" + modulesDir + "drivers/virtio/virtio.ko", want: "would replace /lib/modules/"},
		{name: "dev as link", file: "guest/files/x", more: link("guest/files/dev"), want: "would replace /dev,"},
		{name: "linked text", file: "guest/x", more: link("guest/modules"), want: "guest/modules: expected a file, found a symbolic link"},
		{name: "linked files", file: "guest/x", more: link("guest/files"), want: "guest/files: expected a folder, found a symbolic link"},
		{name: "linked overlay", file: "x", more: link("guest"), want: "guest: expected a folder, found a symbolic link"},
		{name: "file overlay", file: "guest", want: "guest: expected a folder, found a file"},
		{name: "large text", file: "guest/modules", content: strings.Repeat("#\n", maxOverlayText), want: "guest/modules: more than 64 KiB"},
		{name: "pipe", file: "guest/files/x", more: func(tree string) error {
			return syscall.Mkfifo(filepath.Join(tree, "guest/files/pipe"), 0o644)
		}, want: "guest/files/pipe: expected a file, a folder or a symbolic link, found a named pipe"},
		{name: "large", file: "guest/files/a", more: func(tree string) error {
			return os.Truncate(filepath.Join(tree, "guest/files/a"), maxOverlay+1)
		}, want: "guest/files/a: the overlay's files are larger than 64 MiB"},
		{name: "bad name", file: "guest/files/a\nb", want: "file name is too long or holds"},
		{name: "bad bytes", file: "guest/files/\xff/b", want: "file name is too long or holds"},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := testBuilder(t, testKernels(t))
			tree := t.TempDir()
			writeFile(t, tree, c.file, c.content)
			if c.more != nil {
				if err := c.more(tree); err != nil {
					t.Fatal(err)
				}
			}
			var log bytes.Buffer
			_, err := b.Build(t.Context(), testRecipe(), runners.Tree{Dir: tree}, &log)
			bad, ok := errors.AsType[*runners.BuildError](err)
			if !ok || !strings.Contains(bad.Reason, c.want) || strings.Contains(bad.Reason, "\n") {
				t.Errorf("got %v, want a BuildError with %q", err, c.want)
			}
			wantImages(t, b.cfg.Store, 0)
		})
	}
}

func TestBuildWithoutOverlay(t *testing.T) {
	b := testBuilder(t, testKernels(t))
	none := testRecipe()
	none.Overlay = ""
	var ids []string
	for _, c := range []struct {
		r   runners.Recipe
		dir string
	}{{testRecipe(), t.TempDir()}, {testRecipe(), ""}, {none, ""}} {
		laid, log := mustBuild(t, b, c.r, c.dir)
		if !strings.Contains(log, "overlay: none") {
			t.Errorf("log: %s", log)
		}
		ids = append(ids, laid.Image.ID)
	}
	if ids[0] != ids[1] || ids[1] != ids[2] {
		t.Errorf("empty overlays make different images: %v", ids)
	}
	if paths, _, err := b.Inputs(t.Context(), none); err != nil || len(paths) != 0 {
		t.Errorf("inputs without overlay: %v, %v", paths, err)
	}
}

// TestRigAtFault lists what nobody may blame a commit for.
func TestRigAtFault(t *testing.T) {
	kernels := testKernels(t)
	for _, c := range []struct {
		name   string
		change func(*runners.Recipe)
		want   string
	}{
		{"no arch", func(r *runners.Recipe) { r.Arch = "" }, "expected amd64 or arm64"},
		{"other arch", func(r *runners.Recipe) { r.Arch = "arm64" }, "not a configuration for arm64"},
		{"not set up", func(r *runners.Recipe) { r.Kernel = "generic" }, "run `make setup`"},
		{"no kernel", func(r *runners.Recipe) { r.Kernel = "newest" }, `expected "cloud", "generic" or the path`},
		{"empty folder", func(r *runners.Recipe) { r.Kernel = t.TempDir() }, "must hold boot/vmlinuz-RELEASE"},
		{"overlay up", func(r *runners.Recipe) { r.Overlay = "../x" }, "expected a folder of the tree"},
		{"overlay root", func(r *runners.Recipe) { r.Overlay = "." }, "expected a folder of the tree"},
		{"cmdline", func(r *runners.Recipe) { r.Cmdline = []string{"a\nb"} }, "cmdline: control character"},
		{"module", func(r *runners.Recipe) { r.Modules = []string{"no_such"} }, "correct the target in pipelines.yaml"},
		{"damaged package", func(r *runners.Recipe) { r.Modules = []string{"broken"} }, "module broken needs not_there"},
	} {
		b := testBuilder(t, kernels)
		r := testRecipe()
		c.change(&r)
		_, err := b.Build(t.Context(), r, runners.Tree{Dir: t.TempDir()}, io.Discard)
		_, rig := errors.AsType[*runners.InfraError](err)
		if !rig || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: got %v, want an InfraError with %q", c.name, err, c.want)
		}
	}
	none := func(string, string) ([]byte, error) { return nil, errors.New("no agent in this binary") }
	b := New(Config{Store: testStore(t), Kernels: kernels, Agent: none})
	if _, _, err := b.Inputs(t.Context(), testRecipe()); err == nil || !strings.Contains(err.Error(), "no agent in this binary") {
		t.Errorf("inputs without agent: %v", err)
	}
}

// TestCompressedModules packs the modules of a kernel as distributions do.
func TestCompressedModules(t *testing.T) {
	for tool, args := range map[string][]string{"xz": {"-q", "--check=crc32"}, "zstd": {"-q", "--rm"}, "gzip": {"-q"}} {
		t.Run(tool, func(t *testing.T) {
			if _, err := exec.LookPath(tool); err != nil {
				t.Skip(err)
			}
			kernels := testKernels(t)
			plain, _ := mustBuild(t, testBuilder(t, kernels), testRecipe(), "")
			for _, f := range filesBelow(t, filepath.Join(kernels, "cloud/lib")) {
				if strings.HasSuffix(f, ".ko") {
					if out, err := exec.Command(tool, append(args, f)...).CombinedOutput(); err != nil {
						t.Fatalf("%v: %s", err, out)
					}
				}
			}
			packed, _ := mustBuild(t, testBuilder(t, kernels), testRecipe(), "")
			if plain.Image.ID != packed.Image.ID {
				t.Error("compressed modules make another image")
			}
		})
	}
}

func TestCompareReleases(t *testing.T) {
	order := []string{"6.1.0-9-amd64", "6.1.0-10-amd64", "6.1.0-10-cloud-amd64", "6.1.2-rc1", "6.12.0-1-amd64"}
	for i := range order {
		for j := range order {
			if got := compareReleases(order[i], order[j]); (got < 0) != (i < j) || (got == 0) != (i == j) {
				t.Errorf("compare %s with %s: %d", order[i], order[j], got)
			}
		}
	}
}

// TestDebianPackages builds from the real packages that set-up unpacked.
func TestDebianPackages(t *testing.T) {
	kernels := DefaultKernels()
	agent, err := realAgent()
	if err != nil {
		t.Fatal(err)
	}
	for flavour, nic := range map[string]string{"cloud": "vmxnet3", "generic": "e1000"} {
		t.Run(flavour, func(t *testing.T) {
			if _, err := os.Stat(filepath.Join(kernels, flavour)); err != nil {
				t.Skipf("%v: run make setup", err)
			}
			b := New(Config{Store: testStore(t), Kernels: kernels, Agent: func(string, string) ([]byte, error) { return agent, nil }})
			tree := t.TempDir()
			writeFile(t, tree, "guest/modules", "tcp_bbr\nsch_fq\n")
			r := testRecipe()
			r.Kernel = flavour
			laid, log := mustBuild(t, b, r, tree)
			t.Log(log)
			files := guestFiles(t, laid)
			if files["init"].body != string(agent) {
				t.Error("/init is not the agent")
			}
			config := files["etc/headwatch.json"].body
			for _, name := range []string{"virtio_console.ko", nic + ".ko", "tcp_bbr.ko"} {
				if !strings.Contains(config, "/"+name) {
					t.Errorf("%s is not loaded: %s", name, config)
				}
			}
			wantImages(t, b.cfg.Store, 1)
		})
	}
}
