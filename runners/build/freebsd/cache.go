package freebsd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/google/renameio/v2"

	"github.com/headwatch/headwatch/runners"
)

// A cache folder holds
//
//	lock           flock; held by the build and its children
//	state.json     what is done and what was under way
//	manifest.jsonl what is in src
//	src/           copy of the source, changed by content
//	conf/          kernel configurations and scripts that headwatch wrote
//	obj/           MAKEOBJDIRPREFIX
//	tmp/           TMPDIR of the tools

// keepKernels is how many kernel configurations keep their objects in a folder.
const keepKernels = 4

// state is what a cache folder knows of itself.
type state struct {
	Version int    `json:"version"`
	Key     string `json:"key"`
	// Busy is the step under way: "source", "tools", "loader" or the name
	// of a kernel configuration. Found at start, it was interrupted.
	Busy string `json:"busy,omitempty"`
	// What the tree's own tools and the loader were made of; nil: not finished.
	Tools  inputSet  `json:"tools"`
	Loader inputSet  `json:"loader"`
	Saved  time.Time `json:"saved"` // on this host's clock
	// Kernels are the configurations with objects, finished or not.
	Kernels map[string]kernelState `json:"kernels"`
}

// kernelState is how far a kernel configuration got.
type kernelState struct {
	Inputs string    `json:"inputs,omitempty"` // digest of the source of the finished kernel; empty: not finished
	Used   time.Time `json:"used"`
}

// inputSet maps paths of the source to the digest of their content.
type inputSet map[string]string

// folder is an open, locked cache folder.
type folder struct {
	dir   string
	lock  *os.File
	state state
	files []file // what src holds
	clean bool   // remove it in the end
}

func (f *folder) path(name ...string) string {
	return filepath.Join(append([]string{f.dir}, name...)...)
}

// openFolder locks the cache folder at dir and makes it ready. What cannot be
// trusted goes: everything when the folder is another key's, another version's,
// damaged, or was left while its source or tools changed; one kernel's objects
// when that kernel's build was interrupted.
func openFolder(ctx context.Context, dir, key string, log io.Writer) (*folder, error) {
	lock, err := lockFolder(ctx, dir, func() { fmt.Fprintf(log, "cache: waiting for another build in %s\n", dir) })
	if err != nil {
		return nil, err
	}
	f := &folder{dir: dir, lock: lock}
	why := f.load(key, time.Now())
	if why == nil {
		why = f.mend(log)
	}
	if why != nil {
		if !errors.Is(why, fs.ErrNotExist) {
			fmt.Fprintf(log, "cache: starting from nothing: %v\n", why)
		}
		if err := f.reset(key); err != nil {
			return nil, errors.Join(err, lock.Close())
		}
	}
	if err := f.prepare(); err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	return f, nil
}

// openClean makes a folder that goes when it is closed.
func openClean(ctx context.Context, cache, key string, log io.Writer) (*folder, error) {
	dir, err := os.MkdirTemp(cache, cleanPrefix)
	if err != nil {
		return nil, err
	}
	f, err := openFolder(ctx, dir, key, log)
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	f.clean = true
	return f, nil
}

// load reads the state, or says why the folder cannot be used; fs.ErrNotExist
// stands for a new one.
func (f *folder) load(key string, now time.Time) error {
	text, err := os.ReadFile(f.path("state.json"))
	if err != nil {
		return err
	}
	if err := json.Unmarshal(text, &f.state); err != nil {
		return fmt.Errorf("damaged state: %w", err)
	}
	switch s := f.state; {
	case s.Version != version:
		return fmt.Errorf("made by version %d of the builder, this is %d", s.Version, version)
	case s.Key != key:
		return errors.New("made for another tool chain")
	case s.Busy == "source" || s.Busy == "tools":
		return fmt.Errorf("a build was interrupted in step %q", s.Busy)
	case s.Saved.After(now):
		// Objects would look newer than the source that we are going to write.
		return errors.New("the clock went back since the last build")
	case s.Tools != nil && !f.built():
		// The tree files its objects by where its source lies, and its tools hold that
		// path too.
		return errors.New("made in another folder, and copied or moved here")
	}
	if f.files, err = readManifest(f.path("manifest.jsonl")); errors.Is(err, fs.ErrNotExist) {
		return errors.New("manifest is missing")
	}
	return err
}

// built says whether there are objects of the source where it lies now.
func (f *folder) built() bool {
	_, err := os.Stat(f.path("obj") + f.path("src"))
	return err == nil
}

// mend throws away what an interrupted step left half done.
func (f *folder) mend(log io.Writer) error {
	switch busy := f.state.Busy; busy {
	case "":
		return nil
	case "loader":
		fmt.Fprintf(log, "cache: the loader's build was interrupted: its objects go\n")
		if err := f.dropObjects("stand"); err != nil {
			return err
		}
		f.state.Loader = nil
	default:
		fmt.Fprintf(log, "cache: the build of %s was interrupted: its objects go\n", busy)
		if err := f.dropKernel(busy); err != nil {
			return err
		}
	}
	f.state.Busy = ""
	return nil
}

// dropObjects removes what is built at name, a folder of the source, for every
// architecture.
func (f *folder) dropObjects(name string) error {
	found, err := filepath.Glob(filepath.Join(f.path("obj")+f.path("src"), "*", name))
	if err != nil {
		return err
	}
	for _, dir := range found {
		if err := os.RemoveAll(dir); err != nil {
			return err
		}
	}
	return nil
}

func (f *folder) dropKernel(name string) error {
	delete(f.state.Kernels, name)
	return f.dropObjects(filepath.Join("sys", name))
}

// reset empties the folder.
func (f *folder) reset(key string) error {
	entries, err := os.ReadDir(f.dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.Name() == "lock" {
			continue
		}
		if err := os.RemoveAll(f.path(e.Name())); err != nil {
			return err
		}
	}
	f.state, f.files = state{Version: version, Key: key}, nil
	return writeManifest(f.path("manifest.jsonl"), nil)
}

// prepare makes the folders of a build and marks the folder as just used. What
// tools left in tmp goes.
func (f *folder) prepare() error {
	if err := os.RemoveAll(f.path("tmp")); err != nil {
		return err
	}
	if f.state.Kernels == nil {
		f.state.Kernels = map[string]kernelState{}
	}
	for _, name := range []string{"src", "conf", "obj", "tmp"} {
		if err := os.MkdirAll(f.path(name), 0o755); err != nil {
			return err
		}
	}
	return f.save()
}

func (f *folder) save() error {
	f.state.Saved = time.Now()
	text, err := json.MarshalIndent(f.state, "", "\t")
	if err != nil {
		return err
	}
	return renameio.WriteFile(f.path("state.json"), text, 0o644)
}

// step runs one step of a build, with the folder marked for as long as it runs:
// a process that is killed leaves the mark, and so does a canceled step, since
// its tools were killed in the middle of writing. So does the rig's error: who
// knows what a full disk left. A source that does not compile leaves objects
// that make can go on from. done records a success.
func (f *folder) step(ctx context.Context, name string, run func() error, done func()) error {
	f.state.Busy = name
	if err := f.save(); err != nil {
		return err
	}
	err := run()
	if ctx.Err() != nil {
		return errors.Join(err, ctx.Err())
	}
	if _, bad := errors.AsType[*runners.BuildError](err); err != nil && !bad {
		return err
	}
	if err == nil {
		done()
	}
	// Objects must be on disk before the state says that they are good.
	if err := syncFiles(f.lock); err != nil {
		return fmt.Errorf("write cache to disk: %w", err)
	}
	f.state.Busy = ""
	return errors.Join(err, f.save())
}

// update brings src to the given files.
func (f *folder) update(ctx context.Context, src string, want []file) (changes, error) {
	c := compare(f.files, want)
	if c.none() {
		return c, nil
	}
	err := f.step(ctx, "source", func() error {
		if err := c.apply(ctx, src, f.path("src")); err != nil {
			return err
		}
		return writeManifest(f.path("manifest.jsonl"), want)
	}, func() { f.files = want })
	return c, err
}

// forgetKernels drops the configurations used least recently until name fits.
func (f *folder) forgetKernels(name string) error {
	for len(f.state.Kernels) >= keepKernels {
		if _, known := f.state.Kernels[name]; known {
			return nil
		}
		oldest := ""
		for n, k := range f.state.Kernels {
			if oldest == "" || k.Used.Before(f.state.Kernels[oldest].Used) {
				oldest = n
			}
		}
		if err := f.dropKernel(oldest); err != nil {
			return err
		}
	}
	return nil
}

// close gives the folder up.
func (f *folder) close() error {
	var err error
	if f.clean {
		err = discard(f.dir)
	}
	return errors.Join(err, f.lock.Close())
}
