package layout

import (
	"encoding/json"
	"errors"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "rewrite the golden file")

// compile makes debug information of testdata/sample.c as a real compiler does.
func compile(t *testing.T, args ...string) string {
	t.Helper()
	cc, err := exec.LookPath("cc")
	if err != nil {
		t.Skipf("no C compiler here: %v", err)
	}
	object := filepath.Join(t.TempDir(), "sample.o")
	args = append(args, "-c", "-o", object, "testdata/sample.c")
	if out, err := exec.Command(cc, args...).CombinedOutput(); err != nil {
		t.Skipf("cc %v: %v\n%s", args, err, out)
	}
	return object
}

// Every version of DWARF, compressed or not, says the same, and that is the
// golden file.
func TestRead(t *testing.T) {
	names := []string{"sample", "nameless", "either", "forward", "nonesuch"}
	const golden = "testdata/sample.json"
	for _, flags := range [][]string{{"-gdwarf-5"}, {"-gdwarf-4"}, {"-gdwarf-3", "-gstrict-dwarf"}, {"-gdwarf-4", "-gz=zlib"}, {"-gdwarf-4", "-gz=zlib-gnu"}} {
		got, err := Read(compile(t, flags...), names)
		if err != nil {
			t.Errorf("%v: %v", flags, err)
			continue
		}
		doc, err := json.MarshalIndent(got, "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		if *update {
			if err := os.WriteFile(golden, append(doc, '\n'), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), string(doc)+"\n"); diff != "" {
			t.Errorf("%v: %s", flags, diff)
		}
	}
}

// A document can be read again.
func TestJSON(t *testing.T) {
	golden, err := os.ReadFile("testdata/sample.json")
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]Struct
	if err := json.Unmarshal(golden, &got); err != nil {
		t.Fatal(err)
	}
	s := got["sample"]
	if s.Size != 144 || s.Members[0] != (Member{Name: "total", Size: 8, Kind: Unsigned}) {
		t.Errorf("%+v", s)
	}
	for name := range map[string]bool{"forward": true, "nonesuch": true} {
		if _, ok := got[name]; ok {
			t.Errorf("%s has a layout", name)
		}
	}
	if err := json.Unmarshal([]byte(`{"kind":"odd"}`), &Member{}); err == nil {
		t.Error("an unknown kind was read")
	}
	if _, err := json.Marshal(Member{}); err == nil {
		t.Error("an unset kind was written")
	}
}

func TestReadErrors(t *testing.T) {
	if _, err := Read(filepath.Join(t.TempDir(), "none"), nil); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("missing: %v", err)
	}
	if _, err := Read("testdata/sample.c", nil); err == nil {
		t.Error("C source was read as ELF")
	}
	if _, err := Read(compile(t, "-g0"), []string{"sample"}); !errors.Is(err, ErrNoDebugInfo) {
		t.Errorf("without -g: %v", err)
	}
}
