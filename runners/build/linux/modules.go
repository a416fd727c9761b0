package linux

import (
	"bytes"
	"compress/gzip"
	"context"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"

	"github.com/klauspost/compress/zstd"
)

// modules are the loadable and built-in modules of a kernel package. A package
// that was only unpacked has no modules.dep (depmod makes it at installation),
// so what a module needs is read from the module itself.
type modules struct {
	release string
	root    string
	paths   map[string]string // name → path relative to root
	builtin map[string]bool
}

// module is one to be loaded in the guest.
type module struct {
	name  string
	guest string // path in the guest's root, without a leading slash
	size  int64  // bytes, uncompressed
	open  func() (io.ReadCloser, error)
}

// unknownModule says that neither a file nor the kernel itself has a module.
type unknownModule struct{ name, release string }

func (e *unknownModule) Error() string {
	return fmt.Sprintf("unknown module %q: kernel %s does not have it", e.name, e.release)
}

const maxModule = 64 << 20 // bytes, uncompressed

// moduleSuffixes are those of module files, plain and compressed.
var moduleSuffixes = []string{".ko", ".ko.xz", ".ko.zst", ".ko.gz"}

// findModules indexes the modules of a kernel package.
func findModules(ctx context.Context, k kernelPackage) (*modules, error) {
	m := &modules{release: k.release, root: k.modules, paths: make(map[string]string), builtin: make(map[string]bool)}
	err := filepath.WalkDir(k.modules, func(p string, e fs.DirEntry, err error) error {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		rel, err := filepath.Rel(k.modules, p)
		if err != nil {
			return err
		}
		if name, ok := moduleOfFile(e.Name()); ok && m.paths[name] == "" {
			m.paths[name] = filepath.ToSlash(rel)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	list, err := os.ReadFile(filepath.Join(k.modules, "modules.builtin"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	for line := range strings.Lines(string(list)) {
		if name, ok := moduleOfFile(path.Base(strings.TrimSpace(line))); ok {
			m.builtin[name] = true
		}
	}
	return m, nil
}

// moduleOfFile is the name of the module in a file: modules are named with
// underscores whatever their files are.
func moduleOfFile(base string) (string, bool) {
	for _, suffix := range moduleSuffixes {
		if name, ok := strings.CutSuffix(base, suffix); ok {
			return moduleName(name), true
		}
	}
	return "", false
}

func moduleName(s string) string { return strings.ReplaceAll(s, "-", "_") }

// has tells whether the kernel has a module, loadable or built in.
func (m *modules) has(name string) bool {
	name = moduleName(name)
	return m.paths[name] != "" || m.builtin[name]
}

// closure returns the modules with everything that they need, each after what it
// needs, without those in loaded, to which it adds what it returns. Built-in
// modules need no loading. The error is an *unknownModule when the kernel lacks
// a named module.
func (m *modules) closure(ctx context.Context, names []string, loaded map[string]bool) ([]module, error) {
	var list []module
	var add func(name string, needed string) error
	add = func(name, needed string) error {
		name = moduleName(name)
		if loaded[name] {
			return nil
		}
		rel := m.paths[name]
		switch {
		case rel == "" && m.builtin[name]:
			return nil
		case rel == "" && needed != "":
			return fmt.Errorf("kernel package: module %s needs %s, which is not there", needed, name)
		case rel == "":
			return &unknownModule{name: name, release: m.release}
		}
		loaded[name] = true // before its needs, so that a cycle ends
		mod, needs, err := m.read(ctx, name, rel)
		if err != nil {
			return fmt.Errorf("kernel package: %s: %w", filepath.Join(m.root, rel), err)
		}
		for _, need := range needs {
			if err := add(need, name); err != nil {
				return err
			}
		}
		list = append(list, mod)
		return nil
	}
	for _, name := range names {
		if err := add(name, ""); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// read looks into a module's file. A compressed one is kept in memory, for an
// archive needs its size before its bytes.
func (m *modules) read(ctx context.Context, name, rel string) (module, []string, error) {
	file := filepath.Join(m.root, filepath.FromSlash(rel))
	plain := rel[:strings.LastIndex(rel, ".ko")+len(".ko")]
	mod := module{name: name, guest: path.Join("lib/modules", m.release, plain)}
	if plain != rel {
		data, err := decompress(ctx, file)
		if err != nil {
			return mod, nil, err
		}
		mod.size = int64(len(data))
		mod.open = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(data)), nil }
		needs, err := moduleNeeds(bytes.NewReader(data))
		return mod, needs, err
	}
	f, err := os.Open(file)
	if err != nil {
		return mod, nil, err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return mod, nil, err
	}
	mod.size = st.Size()
	mod.open = func() (io.ReadCloser, error) { return os.Open(file) }
	needs, err := moduleNeeds(f)
	return mod, needs, err
}

// moduleNeeds reads the names after "depends=" in a module's .modinfo section.
func moduleNeeds(r io.ReaderAt) ([]string, error) {
	f, err := elf.NewFile(r)
	if err != nil {
		return nil, err
	}
	section := f.Section(".modinfo")
	if section == nil || section.Size > 1<<20 {
		return nil, errors.New("not a kernel module: no usable .modinfo section")
	}
	info, err := section.Data()
	if err != nil {
		return nil, err
	}
	for field := range strings.SplitSeq(string(info), "\x00") {
		if names, ok := strings.CutPrefix(field, "depends="); ok {
			return strings.FieldsFunc(names, func(c rune) bool { return c == ',' }), nil
		}
	}
	return nil, nil
}

// decompress reads a compressed module whole.
func decompress(ctx context.Context, file string) ([]byte, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var out limitedBuffer
	switch filepath.Ext(file) {
	case ".xz":
		var said bytes.Buffer
		cmd := exec.CommandContext(ctx, "xz", "-dc", "-T1", "--no-warn")
		cmd.Stdin, cmd.Stdout, cmd.Stderr = f, &out, &said
		if err = cmd.Run(); err != nil {
			err = fmt.Errorf("xz -dc: %w: %.200s", err, strings.TrimSpace(said.String()))
		}
	case ".zst":
		var dec *zstd.Decoder
		if dec, err = zstd.NewReader(f, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true)); err == nil {
			_, err = io.Copy(&out, dec)
			dec.Close()
		}
	case ".gz":
		var dec *gzip.Reader
		if dec, err = gzip.NewReader(f); err == nil {
			_, err = io.Copy(&out, dec)
		}
	}
	if out.full {
		err = fmt.Errorf("more than %d bytes", maxModule)
	}
	return out.buf.Bytes(), err
}

// limitedBuffer refuses what goes beyond maxModule.
type limitedBuffer struct {
	buf  bytes.Buffer
	full bool
}

func (b *limitedBuffer) Write(p []byte) (int, error) {
	if b.buf.Len()+len(p) > maxModule {
		b.full = true
		return 0, errors.New("too long")
	}
	return b.buf.Write(p)
}
