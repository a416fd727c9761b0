package pipeline

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"gopkg.in/yaml.v3"
)

// parseYAML turns text into the root node of its only document. It returns nil
// after noting why there is none.
func parseYAML(p *problems, data []byte) *yaml.Node {
	if len(data) > maxSize {
		p.addAt(1, 1, "the file is larger than %d KiB: expected a matrix, not copies", maxSize>>10)
		return nil
	}
	if !checkText(p, data) {
		return nil
	}
	d := yaml.NewDecoder(bytes.NewReader(data))
	doc, err := decode(d)
	if errors.Is(err, io.EOF) || err == nil && doc.Content[0].ShortTag() == "!!null" {
		p.addAt(1, 1, "the file is empty: expected the keys %s", strings.Join(requiredKeys, ", "))
		return nil
	}
	if err != nil {
		addSyntax(p, data, err)
		return nil
	}
	switch next, err := decode(d); {
	case err == nil:
		p.add(next, "a second document begins here: expected one document per file")
		return nil
	case !errors.Is(err, io.EOF):
		addSyntax(p, data, err)
		return nil
	}
	return doc.Content[0]
}

// decode reads the next document. A panic of the library becomes an error: some
// of its releases had one on malformed input (CVE-2022-28948), and a
// configuration file must never end the daemon that rereads it.
func decode(d *yaml.Decoder) (doc *yaml.Node, err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("yaml: %v", v)
		}
	}()
	doc = new(yaml.Node)
	if err := d.Decode(doc); err != nil {
		return nil, err
	}
	return doc, nil
}

// checkText notes the first byte that is not text. YAML's parser would say so
// without the place.
func checkText(p *problems, data []byte) bool {
	line, column := 1, 1
	for i := 0; i < len(data); {
		c, size := utf8.DecodeRune(data[i:])
		switch {
		case c == utf8.RuneError && size == 1:
			p.addAt(line, column, "byte 0x%02x is not UTF-8: expected UTF-8 text", data[i])
			return false
		case c < ' ' && c != '\t' && c != '\n' && c != '\r', c == 0x7f:
			p.addAt(line, column, "control character U+%04X: expected text", c)
			return false
		case c == '\n':
			line, column = line+1, 0
		}
		i, column = i+size, column+1
	}
	return true
}

var (
	syntaxError   = regexp.MustCompile(`^yaml: (?:line (\d+): )?(.*)$`)
	unknownAnchor = regexp.MustCompile(`^unknown anchor '([^']*)'`)
	// grammarError matches the errors of the library's parser. It reports their
	// lines from 0, those of its scanner from 1.
	grammarError = regexp.MustCompile(`^(did not find expected (<|node content|'-' indicator|key$|',' or)|found undefined tag handle|found duplicate %|found incompatible)`)
)

// addSyntax notes an error of the YAML library. For an error in the grammar the
// library names the line where the enclosing block begins, unless that is the
// first line of the text, when it names the line of the error. So the text is
// parsed once more from the block on, to learn the line that helps.
func addSyntax(p *problems, data []byte, err error) {
	line, problem := syntaxPlace(err)
	if m := unknownAnchor.FindStringSubmatch(problem); m != nil {
		before, _, _ := bytes.Cut(data, []byte("*"+m[1]))
		line = 1 + bytes.Count(before, []byte("\n"))
	} else if line > 1 && grammarError.MatchString(problem) {
		_, again := decode(yaml.NewDecoder(bytes.NewReader(fromLine(data, line))))
		if again != nil && !errors.Is(again, io.EOF) {
			if inner, same := syntaxPlace(again); same == problem {
				line += inner - 1
			}
		}
	}
	// The end of the text is on a line of its own for the library.
	last := 1 + bytes.Count(bytes.TrimRight(data, "\n"), []byte("\n"))
	p.addAt(min(line, last), 1, "not valid YAML: %s", problem)
}

// syntaxPlace splits an error of the library into its line, from 1, and text.
func syntaxPlace(err error) (line int, problem string) {
	first, _, _ := strings.Cut(err.Error(), "\n")
	m := syntaxError.FindStringSubmatch(first)
	if m == nil {
		return 1, first
	}
	line, _ = strconv.Atoi(m[1])
	if line == 0 || grammarError.MatchString(m[2]) {
		line++
	}
	return line, m[2]
}

// fromLine cuts the lines before the given one, which counts from 1.
func fromLine(data []byte, line int) []byte {
	for ; line > 1; line-- {
		_, data, _ = bytes.Cut(data, []byte("\n"))
	}
	return data
}

// rejectReuse notes aliases, merge keys and explicit tags. The matrix makes
// copies needless, a problem in an alias has two places, and aliases of aliases
// are the one way in which a small file becomes a huge one.
func rejectReuse(p *problems, n *yaml.Node) {
	switch {
	case n.Kind == yaml.AliasNode:
		p.add(n, "alias *%s: anchors and aliases are not supported; the matrix combines what is defined once", n.Value)
		return
	case n.Style&yaml.TaggedStyle != 0:
		p.add(n, "tag %s: tags are not supported; expected a plain value", quote(n.Tag))
	case n.Kind == yaml.ScalarNode && n.Tag == mergeTag:
		p.add(n, "merge key <<: not supported; the matrix combines what is defined once")
	}
	for _, child := range n.Content {
		rejectReuse(p, child)
	}
}

const mergeTag = "!!merge"
