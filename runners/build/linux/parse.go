package linux

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"
)

// syntaxError is what is wrong in one line of an overlay's file.
type syntaxError struct {
	line int // from 1
	msg  string
}

func (e *syntaxError) Error() string { return fmt.Sprintf("%d: %s", e.line, e.msg) }

// said is a word of an overlay's file and the line that it stands in.
type said struct {
	word string
	line int
}

// setting is one line of sysctl.conf.
type setting struct{ key, value string }

// eachLine calls visit with every line that is neither empty nor a comment,
// without its white space. It returns a *syntaxError.
func eachLine(text []byte, comments string, visit func(line string) error) error {
	n := 0
	for raw := range strings.Lines(string(text)) {
		n++
		line := strings.TrimSpace(raw)
		if err := checkText(line); err != nil {
			return &syntaxError{n, err.Error()}
		}
		if line == "" || strings.ContainsRune(comments, rune(line[0])) {
			continue
		}
		if err := visit(line); err != nil {
			return &syntaxError{n, err.Error()}
		}
	}
	return nil
}

func checkText(line string) error {
	if !utf8.ValidString(line) {
		return errors.New("not UTF-8 text")
	}
	for _, c := range line {
		if c < ' ' && c != '\t' || c == 0x7f {
			return fmt.Errorf("control character %q", c)
		}
	}
	return nil
}

// parseCmdline reads kernel arguments: words separated by white space, in which
// double quotes keep white space together; a word that begins with # starts a
// comment.
func parseCmdline(text []byte) ([]string, error) {
	var args []string
	err := eachLine(text, "#", func(line string) error {
		words, err := splitArgs(line)
		args = append(args, words...)
		return err
	})
	return args, err
}

func splitArgs(line string) ([]string, error) {
	var args []string
	for rest := line; ; {
		rest = strings.TrimLeft(rest, " \t")
		if rest == "" || rest[0] == '#' {
			return args, nil
		}
		end, quoted := 0, false
		for end < len(rest) && (quoted || rest[end] != ' ' && rest[end] != '\t') {
			quoted = quoted != (rest[end] == '"')
			end++
		}
		if quoted {
			return nil, fmt.Errorf("unfinished quotes in %.60q", rest)
		}
		for _, c := range []byte(rest[:end]) {
			if c >= utf8.RuneSelf {
				return nil, fmt.Errorf("kernel argument %.60q: expected ASCII", rest[:end])
			}
		}
		args = append(args, rest[:end])
		rest = rest[end:]
	}
}

var modulePattern = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

// parseModules reads module names, one per line; what follows a # is a comment.
func parseModules(text []byte) ([]said, error) {
	var names []said
	n := 0
	for raw := range strings.Lines(string(text)) {
		n++
		line, _, _ := strings.Cut(raw, "#")
		if err := checkText(strings.TrimSpace(raw)); err != nil {
			return nil, &syntaxError{n, err.Error()}
		}
		line = strings.TrimSpace(line)
		if line == "" {
			continue
		}
		if !modulePattern.MatchString(line) {
			return nil, &syntaxError{n, fmt.Sprintf("%.80q: expected one module name", line)}
		}
		names = append(names, said{line, n})
	}
	return names, nil
}

var keyPattern = regexp.MustCompile(`^[A-Za-z0-9_-]+([./][A-Za-z0-9_-]+)+$`)

// parseSysctl reads the format of sysctl.conf(5): "key = value", comments in
// lines of their own after # or ;. A key may be written with slashes; it comes
// back with dots. A leading - (ignore a failure) is refused: whether a setting
// took effect must not depend on the kernel under test without anybody noticing.
func parseSysctl(text []byte) ([]setting, error) {
	var list []setting
	err := eachLine(text, "#;", func(line string) error {
		key, value, ok := strings.Cut(line, "=")
		key, value = strings.TrimSpace(key), strings.TrimSpace(value)
		switch {
		case !ok || value == "":
			return fmt.Errorf("%.80q: expected key = value", line)
		case strings.HasPrefix(key, "-"):
			return fmt.Errorf("%.80q: a leading - is not supported: every setting must take effect", key)
		case !keyPattern.MatchString(key):
			return fmt.Errorf("%.80q: expected the name of a setting, as net.ipv4.tcp_sack", key)
		case strings.Contains(key, ".") && strings.Contains(key, "/"):
			return fmt.Errorf("%.80q: write the name with dots or with slashes, not with both", key)
		}
		list = append(list, setting{strings.ReplaceAll(key, "/", "."), value})
		return nil
	})
	return list, err
}
