package faults

import (
	"bytes"
	"compress/flate"
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/headwatch/headwatch/suites"
	"github.com/headwatch/headwatch/suites/kernel/guest"
)

// The table and the module's sources name the same faults.
func TestTableIsOfTheModule(t *testing.T) {
	planted := map[string]bool{}
	for _, file := range []string{"frames.c", "calls.c", "leaks.c"} {
		text, err := fs.ReadFile(sources, "src/"+file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`\{ "(\w+)", plant_(\w+) \}`).FindAllStringSubmatch(string(text), -1) {
			if m[1] != m[2] || planted[m[1]] {
				t.Errorf("%s: fault %s is planted by plant_%s", file, m[1], m[2])
			}
			planted[m[1]] = true
		}
	}
	for _, f := range All() {
		if !planted[f.Name] {
			t.Errorf("fault %s is not in the module, or twice in the table", f.Name)
		}
		delete(planted, f.Name)
		if _, err := regexp.Compile(f.Reason); err != nil || f.Reason == "" || f.Summary == "" || f.Case == "" || f.Every < 1 {
			t.Errorf("%+v: %v", f, err)
		}
	}
	if len(planted) > 0 {
		t.Errorf("not in the table: %v", planted)
	}
}

func TestFinds(t *testing.T) {
	for name, want := range map[string]bool{"r01": true, "r01_sack_v4": true, "r010_v4": false, "f01_v4": false, "": false} {
		if (Fault{Case: "r01"}).Finds(name) != want {
			t.Errorf("%q: not %v", name, want)
		}
	}
}

func TestHeadersAreMissing(t *testing.T) {
	if _, err := Headers(t.TempDir(), "0.0.0-none"); !errors.Is(err, ErrNoHeaders) || err.Error() != "no kernel headers of 0.0.0-none: run make setup" {
		t.Errorf("%v", err)
	}
}

// What cannot be built says why, and leaves nothing behind.
func TestModuleThatCannotBeBuilt(t *testing.T) {
	headers, cache := t.TempDir(), t.TempDir()
	for name, text := range map[string]string{"Module.symvers": "", "Makefile": "modules:\n\t@echo hw.h is not for this kernel >&2; exit 1\n"} {
		if err := os.WriteFile(filepath.Join(headers, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	_, err := Module(t.Context(), headers, cache)
	if err == nil || !strings.HasPrefix(err.Error(), "build the module of faults: make: exit status 2\nhw.h is not for this kernel") {
		t.Errorf("%v", err)
	}
	if left, _ := os.ReadDir(cache); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// machine is a guest whose module says what these fields say.
type machine struct {
	suites.Guest
	os            string
	refuse        error
	already       bool
	planted, hits string
	params        string // with which it was loaded
}

func (m *machine) OS() string          { return m.os }
func (m *machine) answer(v any) []byte { b, _ := json.Marshal(v); return b }

type refusal struct{}

func (refusal) Error() string         { return "kernel/module_load: ENOEXEC" }
func (refusal) KernelRefused() string { return "finit_module: ENOEXEC" }

func (m *machine) Call(_ context.Context, op string, args, result any) error {
	switch op {
	case guest.OpModuleLoad:
		m.params = args.(guest.ModuleLoadArgs).Params
		if m.refuse != nil {
			return m.refuse
		}
		return json.Unmarshal(m.answer(guest.ModuleLoaded{Already: m.already}), result)
	case guest.OpFile:
		text := m.hits
		if strings.HasSuffix(args.(guest.NameArgs).Name, "planted") {
			text = m.planted
		}
		return json.Unmarshal(m.answer(reading(text)), result)
	}
	return errors.New("no operation " + op)
}

func TestIn(t *testing.T) {
	found := suites.Failf("found it")
	for name, tt := range map[string]struct {
		guest  machine
		fault  Fault
		says   error // the case
		status suites.Status
		reason string
	}{
		"found":            {machine{os: "linux", planted: "Y\n", hits: "3\n"}, Fault{Name: "twice"}, found, suites.Failed, "found it"},
		"overlooked":       {machine{os: "linux", planted: "Y\n", hits: "3\n"}, Fault{Name: "twice"}, nil, suites.Passed, ""},
		"no occasion":      {machine{os: "linux", planted: "Y\n", hits: "0\n"}, Fault{Name: "twice"}, nil, suites.Broken, "fault twice never hit: the case gave it no occasion"},
		"not on this one":  {machine{os: "linux", planted: "N\n", hits: "0\n"}, Fault{Name: "twice", Chance: 30}, nil, suites.Passed, ""},
		"none":             {machine{os: "linux", planted: "N\n", hits: "0\n"}, Fault{Name: None}, nil, suites.Passed, ""},
		"another system":   {machine{os: "freebsd"}, Fault{Name: "twice"}, nil, suites.Skipped, "fault twice is for Linux guests, this one is freebsd"},
		"module refused":   {machine{os: "linux", refuse: refusal{}}, Fault{Name: "twice"}, nil, suites.Broken, "fault twice: the kernel does not take the module: finit_module: ENOEXEC"},
		"no fresh machine": {machine{os: "linux", already: true}, Fault{Name: "twice"}, nil, suites.Broken, "fault twice: this guest has the module already: it is no fresh one"},
	} {
		t.Run(name, func(t *testing.T) {
			tc := suites.T{Guest: &tt.guest, Rand: rand.New(rand.NewPCG(1, 2)), Metrics: map[string]float64{}}
			c := tt.fault.In(suites.Case{Name: "f01_v4", Run: func(context.Context, *suites.T) error { return tt.says }})
			status, reason := suites.Classify(c.Run(t.Context(), &tc))
			if status != tt.status || reason != tt.reason || c.Name != tt.fault.Name+"_in_f01_v4" {
				t.Errorf("%s: %v %q", c.Name, status, reason)
			}
			if want := regexp.MustCompile(`^fault=` + tt.fault.Name + ` seed=[1-9]\d* every=1 chance=(100|30)$`); tt.guest.os == "linux" && !want.MatchString(tt.guest.params) {
				t.Errorf("parameters %q", tt.guest.params)
			}
		})
	}
}

// reading is what the agent gives of a file.
func reading(text string) guest.Reading {
	var b bytes.Buffer
	w, _ := flate.NewWriter(&b, flate.BestSpeed)
	w.Write([]byte(text))
	w.Close()
	return guest.Reading{Size: len(text), Data: b.Bytes()}
}
