package pipeline

import (
	"path"
	"regexp"
	"strings"

	"gopkg.in/yaml.v3"
)

// kyuaVariable is one setting of kyua.conf(5), as kyua's option -v takes it.
var kyuaVariable = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_.]*=[^\x00-\x1f]*$`)

// kyua reads the section of that name.
func (r *reader) kyua(key string, n *yaml.Node) {
	k := &r.file.Kyua
	r.fields(n, n, key, map[string]field{
		"tests":             r.texts(&k.Tests, "tests", checkKyuaTest),
		"variables":         r.texts(&k.Variables, "settings of kyua.conf", checkKyuaVariable),
		"timeout":           r.duration(&k.Timeout),
		"expected_failures": r.text(&k.Expected, checkListPath),
	})
}

func checkKyuaTest(s string) string {
	program, _, _ := strings.Cut(s, ":")
	if path.Clean(program) != program || strings.HasPrefix(program, "/") || strings.HasPrefix(program, ".") || strings.HasPrefix(program, "-") || strings.ContainsAny(s, " \t") {
		return "a program or a folder below /usr/tests, such as sys/netinet, or program:case, found " + quote(s)
	}
	return ""
}

func checkKyuaVariable(s string) string {
	if !kyuaVariable.MatchString(s) {
		return "a setting of kyua.conf, such as parallelism=2, found " + quote(s)
	}
	return ""
}

func checkListPath(s string) string {
	if s == "" || strings.ContainsRune(s, 0) {
		return "the path of a list of expected failures"
	}
	return ""
}
