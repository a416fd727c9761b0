package pipeline

import (
	"fmt"
	"io"
	"os"

	"github.com/headwatch/headwatch/suites"
)

// BuiltIn is the Path of the embedded default.
const BuiltIn = "(built-in)"

// maxSize bounds a file, in bytes.
const maxSize = 1 << 20

// Known is what the rest of the program knows, and a file may refer to.
type Known struct {
	// Suites are the layers in which each suite has cases.
	Suites map[string][]suites.Layer
	// Requires are what all cases that a suite has in a layer ask of a machine: one that
	// lacks it would skip them all. "smp>=N", "kvm" and "virtual-time" are checked here;
	// any other word is left to the run.
	Requires  map[string]map[suites.Layer][]string
	NICModels []string
	NICLinks  []string
	// CheckNIC says what else is wrong with a NIC whose model, link and options are
	// known. Nil: nothing.
	CheckNIC func(NIC) error
}

// Load reads and checks the file at path. It returns an *Error when the content
// is at fault, and any other error when the file could not be read.
func Load(path string, known Known) (*File, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read pipelines: %w", err)
	}
	defer f.Close()
	// One byte more than allowed, so that Parse sees that it is too much.
	data, err := io.ReadAll(io.LimitReader(f, maxSize+1))
	if err != nil {
		return nil, fmt.Errorf("read pipelines: %w", err)
	}
	return Parse(path, data, known)
}

// Default checks the embedded file, which the caller hands over because it lies
// above this package.
func Default(data []byte, known Known) (*File, error) {
	return Parse(BuiltIn, data, known)
}

// Parse checks the content of a file. name is what its problems are reported
// against. The error is an *Error.
func Parse(name string, data []byte, known Known) (*File, error) {
	p := problems{file: name}
	root := parseYAML(&p, data)
	if root == nil {
		return nil, p.err()
	}
	rejectReuse(&p, root)
	r := reader{problems: &p, known: known, file: &File{Path: name}}
	r.readFile(root)
	r.resolve()
	if err := p.err(); err != nil {
		return nil, err
	}
	return r.file, nil
}
