package headwatch

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	// faultRow is a row of the table of injected faults: number, fault, test, case, what it
	// is told as.
	faultRow = regexp.MustCompile("(?m)^\\| (\\d+) \\| (.+?) \\| `([\\w/]+)\\.(\\w+)(?:/([^`]+))?` \\| (.+) \\|$")
	told     = regexp.MustCompile("`([^`]+)`")
)

// The table names tests that exist, and words that they look for.
func TestInjectedFaults(t *testing.T) {
	page, err := os.ReadFile("docs/machines.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(page), "\n## Injected faults\n")
	section, _, _ = strings.Cut(section, "\n## ")
	rows := faultRow.FindAllStringSubmatch(section, -1)
	if want := len(regexp.MustCompile(`(?m)^\| \d+ \|`).FindAllString(section, -1)); len(rows) != want || want < 30 {
		t.Errorf("%d rows of %d can be read, want 30 at least", len(rows), want)
	}
	for _, r := range rows {
		number, dir, name, sub := r[1], r[3], r[4], r[5]
		file, all := sources(t, dir, name)
		if file == "" || !strings.Contains(file, sub) {
			t.Errorf("row %s: there is no %s/%s in %s", number, name, sub, dir)
		}
		for _, words := range told.FindAllStringSubmatch(r[6], -1) {
			if !strings.Contains(all, words[1]) {
				t.Errorf("row %s: nothing in %s says %q", number, dir, words[1])
			}
		}
	}
}

// sources are the text of the file that has a function, empty when none of dir does, and
// that of all of dir.
func sources(t *testing.T, dir, name string) (file, all string) {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range names {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		all += string(text)
		tree, err := parser.ParseFile(token.NewFileSet(), path, text, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range tree.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && f.Recv == nil && f.Name.Name == name {
				file = string(text)
			}
		}
	}
	return file, all
}
