package freebsd

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// holds says whether the source still has what the set was made of. A file that
// is new in one of the step's own paths counts as a change.
func (s inputSet) holds(files []file, own []string) bool {
	if s == nil {
		return false
	}
	left := len(s)
	for _, f := range files {
		sum, used := s[f.Path]
		switch {
		case used && sum != f.Sum:
			return false
		case used:
			left--
		case below(f.Path, own):
			return false
		}
	}
	return left == 0
}

// usedBy lists what the objects in a folder were made of: the step's own paths,
// and what the compiler says it read of the rest, in the .depend files that every
// object has. Most commits touch neither.
func usedBy(p plan, objects string, files []file, own []string) (inputSet, error) {
	read := map[string]bool{}
	err := filepath.WalkDir(objects, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasPrefix(d.Name(), ".depend.") {
			return err
		}
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		for _, dep := range dependencies(string(text)) {
			if !filepath.IsAbs(dep) {
				dep = filepath.Join(filepath.Dir(name), dep)
			}
			read[dep] = true
		}
		return nil
	})
	if err == nil && len(read) == 0 {
		err = errors.New("no .depend files: has the tree's build changed?")
	}
	if err != nil {
		return nil, fmt.Errorf("read the dependencies of %s: %w", objects, err)
	}
	used := map[string]bool{}
	for dep := range read {
		// include/machine and its like are links into the source.
		real, err := filepath.EvalSymlinks(dep)
		if err != nil {
			continue // a temporary file of the build
		}
		if rel, ok := strings.CutPrefix(real, p.src()+"/"); ok {
			used[rel] = true
		}
	}
	set := inputSet{}
	for _, f := range files {
		if used[f.Path] || below(f.Path, own) {
			set[f.Path] = f.Sum
		}
	}
	return set, nil
}

// dependencies lists the prerequisites in what cc -MD writes: a rule with
// continuation lines. FreeBSD's source has no name with a space.
func dependencies(rule string) []string {
	_, list, ok := strings.Cut(rule, ":")
	if !ok {
		return nil
	}
	return strings.Fields(strings.ReplaceAll(list, "\\\n", " "))
}
