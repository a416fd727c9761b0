package disk

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestLoaderConf(t *testing.T) {
	text, err := LoaderConf([]Setting{
		{"kern.hz", "1000"},
		{"init_path", "/agent"},
		{"empty", ""},
		{"said", `a "quote", a \ and $10 # no comment`},
		{"if_vtnet_load", "YES"},
		{"kern.hz", "100"},
	})
	want := `kern.hz="1000"
init_path="/agent"
empty=""
said="a \"quote\", a \\ and \$10 # no comment"
if_vtnet_load="YES"
kern.hz="100"
`
	if err != nil || string(text) != want {
		t.Errorf("%v\n%s", err, text)
	}
}

func TestLoaderConfRefuses(t *testing.T) {
	for want, s := range map[string]Setting{
		"want a name of letters":              {"two words", "x"},
		"want a name of letters, digits":      {"-x", "x"},
		"want a name of letters, digits, _":   {"", "x"},
		"want a name of letters, digits, _ .": {strings.Repeat("x", 129), "x"},
		"would be a command":                  {"exec", "reboot"},
		"holds a control character":           {"x", "a\nb"},
		`value "\x00": holds a control`:       {"x", "\x00"},
		"value of 129 bytes":                  {"x", strings.Repeat("x", 129)},
		`holds ", \ or $`:                     {"virtio_name", `a"b`},
	} {
		if _, err := LoaderConf([]Setting{s}); err == nil || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), "loader setting ") {
			t.Errorf("%+v: %v: want %q", s, err, want)
		}
	}
}

var (
	luaModule = regexp.MustCompile(`^([-\w]+)_(?:load|name|type|flags|before|after|error)\s*=\s*"(.*)"\s*(.*)$`)
	luaValue  = regexp.MustCompile(`^(\w[\w.-]*)\s*=\s*"(.*)"\s*(.*)$`)
)

// luaReads does what stand/lua/config.lua does with a line: its patterns match
// from the first quote to the last, and processEnvVar takes the escapes away.
func luaReads(line string) (string, error) {
	if m := luaModule.FindStringSubmatch(line); m != nil {
		return m[2], nil
	}
	m := luaValue.FindStringSubmatch(line)
	if m == nil || m[3] != "" {
		return "", fmt.Errorf("malformed: %s", line)
	}
	var value strings.Builder
	for i := 0; i < len(m[2]); i++ {
		switch c := m[2][i]; c {
		case '"', '$':
			return "", fmt.Errorf("stray %c: %s", c, line)
		case '\\':
			if i++; i == len(m[2]) {
				return "", fmt.Errorf("stray escape: %s", line)
			}
			fallthrough
		default:
			value.WriteByte(m[2][i])
		}
	}
	return value.String(), nil
}

// What can be said is read as it was meant.
func TestLoaderReadsWhatWasMeant(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := Setting{
			Name:  rapid.StringMatching(`[a-z0-9][a-z0-9._-]{0,6}(_load|_name|)`).Draw(t, "name"),
			Value: rapid.OneOf(rapid.StringMatching(`["\\$#{} a-c=]{0,12}`), rapid.StringN(0, 20, 100)).Draw(t, "value"),
		}
		text, err := LoaderConf([]Setting{s})
		if err != nil {
			t.Skip(err)
		}
		line, ok := strings.CutSuffix(string(text), "\n")
		if !ok || strings.Contains(line, "\n") {
			t.Fatalf("not one line: %q", text)
		}
		if got, err := luaReads(line); err != nil || got != s.Value {
			t.Fatalf("%q reads as %q, %v: want %q", line, got, err, s.Value)
		}
	})
}
