package headwatch

import (
	"bytes"
	"encoding/json"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/headwatch/headwatch/"

// rule says what of the project a package may import. A name that ends in "/..."
// covers everything below it.
type rule struct {
	pkg   string
	allow []string
}

// rules are those of docs/architecture.md, the most specific first. A package
// that no rule covers may not import anything of the project.
var rules = []rule{
	{"suites", nil},
	{"suites/wire", nil},
	{"suites/wire/...", []string{"suites/wire", "suites/wire/..."}},
	{"suites/tcp/faults", []string{"suites", "suites/kernel", "suites/kernel/guest"}},
	{"suites/superpage/guest", []string{"suites", "suites/superpage/model"}},
	{"runners", nil},
	{"runners/guest", []string{"suites"}},
	{"runners/guest/renewal", nil},
	{"runners/console", []string{"suites", "runners"}},
	{"runners/nic", nil},
	{"runners/pressure", nil},
	{"runners/symbol", []string{"runners"}},
	{"runners/build", []string{"runners", "runners/build/..."}},
	{"runners/build/linux", []string{"runners", "runners/build/images"}},
	{"runners/build/layout", nil},
	{"runners/build/...", []string{"runners"}},
	{"runners/qemu", []string{"runners", "runners/guest", "runners/guest/renewal", "runners/console", "runners/nic", "runners/pressure"}},
	{"runners/runnertest", []string{"runners", "runners/console", "runners/nic", "runners/build", "runners/build/..."}},
	{"orchestrator/pipeline", []string{"suites"}},
	{"orchestrator/verdict", []string{"suites"}},
	{"orchestrator/bisect", nil},
	{"orchestrator/bisect/simulate", []string{"orchestrator/bisect"}},
	{"orchestrator/demo", nil},
	{"orchestrator/report", nil},
	{"orchestrator", []string{"suites", "runners", "orchestrator/pipeline", "orchestrator/verdict", "orchestrator/bisect"}},
	{"orchestrator/...", []string{"orchestrator", "orchestrator/verdict", "orchestrator/pipeline", "suites", "runners"}},
	{"web/api", nil},
	{"web", []string{"web/api", "orchestrator", "orchestrator/verdict", "suites"}},
	{"cmd/headwatch-agent", []string{"runners/guest", "runners/guest/renewal", "suites", "suites/..."}},
	{"cmd/headwatch", []string{"..."}},
}

func covers(pattern, pkg string) bool {
	if pattern == "..." {
		return true
	}
	if base, ok := strings.CutSuffix(pattern, "/..."); ok {
		return strings.HasPrefix(pkg, base+"/")
	}
	return pattern == pkg
}

// ruleFor gives the packages of a suite, suites/X and suites/X/guest, a rule of
// their own: suites, the wire, what is seen of a kernel, and what lies below the
// suite itself.
func ruleFor(pkg string) []string {
	for _, r := range rules {
		if covers(r.pkg, pkg) {
			return r.allow
		}
	}
	if parts := strings.Split(pkg, "/"); parts[0] == "suites" {
		allow := []string{"suites"}
		if len(parts) == 2 {
			allow = append(allow, "suites/wire", "suites/wire/...", "suites/kernel", "suites/kernel/guest", pkg+"/...")
		}
		return allow
	}
	return nil
}

// TestImportRules keeps the direction of the data flow visible in the imports.
func TestImportRules(t *testing.T) {
	cmd := exec.Command("go", "list", "-json=ImportPath,Imports", "./...")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	checked := 0
	for dec := json.NewDecoder(bytes.NewReader(out)); dec.More(); {
		var p struct {
			ImportPath string
			Imports    []string
		}
		if err := dec.Decode(&p); err != nil {
			t.Fatal(err)
		}
		pkg := strings.TrimPrefix(p.ImportPath, module)
		if pkg == strings.TrimSuffix(module, "/") {
			pkg = "."
		}
		for _, imp := range p.Imports {
			of, ours := strings.CutPrefix(imp, module)
			if !ours {
				continue
			}
			checked++
			if !slices.ContainsFunc(ruleFor(pkg), func(a string) bool { return covers(a, of) }) {
				t.Errorf("%s imports %s: not allowed, see docs/architecture.md", pkg, of)
			}
		}
	}
	if checked < 20 {
		t.Errorf("only %d imports of the project checked: is go list looking at the right tree?", checked)
	}
}

func TestRulesCatchWhatTheyForbid(t *testing.T) {
	for _, tt := range []struct{ pkg, imp string }{
		{"suites", "runners"},
		{"runners/qemu", "orchestrator"},
		{"suites/smoke", "runners/guest"},
		{"suites/smoke", "suites/tcp"},
		{"suites/smoke/guest", "suites/kernel"},
		{"runners/build/layout", "suites/kernel"},
		{"orchestrator/store", "orchestrator/queue"},
		{"orchestrator", "orchestrator/store"},
		{"web", "orchestrator/store"},
		{"util", "suites"},
	} {
		if slices.ContainsFunc(ruleFor(tt.pkg), func(a string) bool { return covers(a, tt.imp) }) {
			t.Errorf("%s may import %s, and must not", tt.pkg, tt.imp)
		}
	}
}
