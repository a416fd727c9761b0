package pipeline

import (
	"maps"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"
)

// maxNames bounds the entries of a section and the items of a list.
const maxNames = 256

// reader turns the nodes of a file into values. It goes on after a problem,
// keeping the default, so that one mistake is reported once and the next is
// found too.
type reader struct {
	*problems
	known Known
	file  *File
	// Where names are referred to, for resolve: it runs when all are defined.
	suiteRefs []suiteRef
	blocks    []block
	passes    []pass
	excuses   []excuse
}

// ref is a name where it is used.
type ref struct {
	name string
	at   *yaml.Node
}

// field reads the value of a key.
type field func(key string, value *yaml.Node)

// fields reads a mapping whose keys are fixed. It returns the node of each key
// that is there, or nil when n is no mapping. at is where a missing key is
// reported; what names the mapping in messages.
func (r *reader) fields(at, n *yaml.Node, what string, keys map[string]field, required ...string) map[string]*yaml.Node {
	seen := map[string]*yaml.Node{}
	names := slices.Sorted(maps.Keys(keys))
	ok := r.pairs(n, what, "the keys "+oneOf(names), func(key string, k, v *yaml.Node) {
		read := keys[key]
		if read == nil {
			r.add(k, "unknown key %s in %s: %s", quote(key), what, r.hint(key, names))
			return
		}
		seen[key] = k
		read(key, v)
	})
	if !ok {
		return nil
	}
	for _, key := range required {
		if seen[key] == nil {
			r.add(at, "%s lacks the key %s", what, key)
		}
	}
	return seen
}

// pairs calls each for every pair of a mapping, notes keys that occur twice and
// keys that are no words, and reports whether n is a mapping.
func (r *reader) pairs(n *yaml.Node, what, expected string, each func(key string, k, v *yaml.Node)) bool {
	if n.Kind != yaml.MappingNode {
		r.mismatch(n, what, "a mapping with "+expected)
		return false
	}
	first := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, v := n.Content[i], n.Content[i+1]
		if k.Kind == yaml.AliasNode || k.Tag == mergeTag {
			continue // noted by rejectReuse
		}
		if k.Kind != yaml.ScalarNode || k.ShortTag() == "!!null" {
			r.mismatch(k, "a key of "+what, "a word")
			continue
		}
		if line, twice := first[k.Value]; twice {
			r.add(k, "duplicate key %s in %s: it is on line %d already", quote(k.Value), what, line)
		} else {
			first[k.Value] = k.Line
		}
		each(k.Value, k, v)
	}
	return true
}

// items calls each for every item of a list, and reports whether n is a list.
func (r *reader) items(n *yaml.Node, what, expected string, each func(item *yaml.Node)) bool {
	if n.Kind != yaml.SequenceNode {
		r.mismatch(n, what, "a list of "+expected)
		return false
	}
	for i, item := range n.Content {
		if i == maxNames {
			r.add(item, "%s: expected at most %d items, found %d", what, maxNames, len(n.Content))
			break
		}
		each(item)
	}
	return true
}

// section reads a mapping from names to values of one kind. Of two entries with
// one name the first is kept.
func section[V any](r *reader, kind string, into map[string]V, read func(name string, key, value *yaml.Node) V) field {
	return func(key string, n *yaml.Node) {
		count := 0
		r.pairs(n, key, "a name for each "+kind, func(name string, k, v *yaml.Node) {
			if count++; count > maxNames {
				if count == maxNames+1 {
					r.add(k, "%s: expected at most %d entries, found %d", key, maxNames, len(n.Content)/2)
				}
				return
			}
			if !validName.MatchString(name) {
				r.add(k, "bad name %s: expected at most 40 of a-z, 0-9 and -, not beginning with -", quote(name))
			}
			value := read(name, k, v)
			if _, twice := into[name]; !twice {
				into[name] = value
			}
		})
	}
}

// refs reads a list of names that are defined elsewhere. An empty list and a
// name that comes twice are problems.
func (r *reader) refs(into *[]ref, expected string) field {
	return func(key string, n *yaml.Node) {
		first := map[string]int{}
		ok := r.items(n, key, expected, func(item *yaml.Node) {
			name, ok := r.word(item, key, "a name")
			if !ok {
				return
			}
			if line, twice := first[name]; twice {
				r.add(item, "%s: %s is listed on line %d already", key, quote(name), line)
				return
			}
			first[name] = item.Line
			*into = append(*into, ref{name, item})
		})
		if ok && len(n.Content) == 0 {
			r.add(n, "%s: expected at least one of the %s", key, expected)
		}
	}
}

// word gives the text of a scalar. A number is taken as written; true, false
// and null are not, for they are rarely meant as words.
func (r *reader) word(n *yaml.Node, what, expected string) (string, bool) {
	if n.Kind != yaml.ScalarNode || n.ShortTag() == "!!null" || n.ShortTag() == "!!bool" {
		r.mismatch(n, what, expected)
		return "", false
	}
	return n.Value, true
}

// mismatch notes a node that is not of the expected form.
func (r *reader) mismatch(n *yaml.Node, what, expected string) {
	if n.Kind == yaml.AliasNode {
		return // noted by rejectReuse
	}
	r.add(n, "%s: expected %s, found %s", what, expected, describe(n))
}

// describe says what a node is, for a message.
func describe(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	}
	switch n.ShortTag() {
	case "!!null":
		return "nothing"
	case "!!int", "!!float":
		return "the number " + strings.Trim(quote(n.Value), `"`)
	case "!!bool":
		return n.Value
	}
	return quote(n.Value)
}
