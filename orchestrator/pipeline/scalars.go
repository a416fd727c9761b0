package pipeline

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"gopkg.in/yaml.v3"
)

// week bounds every duration of a file.
const week = 7 * 24 * time.Hour

var memorySize = regexp.MustCompile(`^([0-9]{1,9})([MG])$`)

// text reads a word that check accepts. check returns what it expected instead,
// or "".
func (r *reader) text(into *string, check func(string) string) field {
	return func(key string, n *yaml.Node) {
		s, ok := r.word(n, key, "a word")
		if !ok {
			return
		}
		if expected := check(s); expected != "" {
			r.add(n, "%s: expected %s", key, expected)
			return
		}
		*into = s
	}
}

// choice reads one of a few words.
func (r *reader) choice(into *string, words ...string) field {
	return func(key string, n *yaml.Node) {
		s, ok := r.word(n, key, oneOf(words))
		switch {
		case !ok:
		case slices.Contains(words, s):
			*into = s
		case near(s, words) != "":
			r.add(n, "%s: expected %s, found %s: did you mean %s?", key, oneOf(words), quote(s), quote(near(s, words)))
		default:
			r.mismatch(n, key, oneOf(words))
		}
	}
}

// texts reads a list of words that check accepts.
func (r *reader) texts(into *[]string, kind string, check func(string) string) field {
	return func(key string, n *yaml.Node) {
		r.items(n, key, kind, func(item *yaml.Node) {
			var s string
			r.text(&s, check)(key, item)
			if s != "" {
				*into = append(*into, s)
			}
		})
	}
}

// flag reads true or false.
func (r *reader) flag(into *bool) field {
	return func(key string, n *yaml.Node) {
		if n.Kind != yaml.ScalarNode || n.ShortTag() != "!!bool" {
			r.mismatch(n, key, "true or false")
			return
		}
		*into = strings.EqualFold(n.Value, "true")
	}
}

// number reads a whole decimal number in a range.
func (r *reader) number(into *int, low, high int) field {
	return func(key string, n *yaml.Node) {
		v, err := strconv.Atoi(n.Value)
		if n.Kind != yaml.ScalarNode || n.ShortTag() != "!!int" || err != nil || v < low || v > high {
			r.mismatch(n, key, "a number from "+strconv.Itoa(low)+" to "+strconv.Itoa(high))
			return
		}
		*into = v
	}
}

// duration reads a time with its unit, at least a second.
func (r *reader) duration(into *time.Duration) field {
	return func(key string, n *yaml.Node) {
		d, err := time.ParseDuration(n.Value)
		// "0" parses too, but is out of range.
		if n.Kind != yaml.ScalarNode || err != nil || d < time.Second || d > week {
			r.mismatch(n, key, "a duration from 1s to 168h with its unit, such as 90s, 5m or 1h30m")
			return
		}
		*into = d
	}
}

// memory reads a size with its unit into MiB.
func (r *reader) memory(into *int) field {
	const least, most = 128, 64 << 10
	return func(key string, n *yaml.Node) {
		size := 0
		if m := memorySize.FindStringSubmatch(n.Value); m != nil && n.Kind == yaml.ScalarNode {
			size, _ = strconv.Atoi(m[1]) // at most nine digits
			if m[2] == "G" {
				size <<= 10
			}
		}
		if size < least || size > most {
			r.mismatch(n, key, "a size from 128M to 64G with its unit, such as 512M or 2G")
			return
		}
		*into = size
	}
}

// arguments reads kernel arguments: a list with one in each item, or one string
// that is split at spaces outside double quotes.
func (r *reader) arguments(into *[]string) field {
	const most = 1024 // bytes in all; Linux takes 2048, with the overlay's and the runner's
	return func(key string, n *yaml.Node) {
		var args []string
		if n.Kind == yaml.SequenceNode {
			r.texts(&args, "kernel arguments", checkArgument)(key, n)
		} else if s, ok := r.word(n, key, "kernel arguments, as a list or one string"); ok {
			args = splitArguments(s)
			for _, a := range args {
				if expected := checkArgument(a); expected != "" {
					r.add(n, "%s: expected %s", key, expected)
					return
				}
			}
		}
		if total := len(strings.Join(args, " ")); total > most {
			r.add(n, "%s: expected at most %d bytes, found %d", key, most, total)
			return
		}
		*into = args
	}
}

// splitArguments splits at spaces outside double quotes, as Linux does.
func splitArguments(s string) []string {
	quoted := false
	return strings.FieldsFunc(s, func(c rune) bool {
		if c == '"' {
			quoted = !quoted
		}
		return !quoted && strings.ContainsRune(" \t\r\n", c)
	})
}

// nics reads a list of "model[@link][,option=value]…".
func (r *reader) nics(into *[]NIC) field {
	return func(key string, n *yaml.Node) {
		r.items(n, key, "model or model@link", func(item *yaml.Node) {
			s, ok := r.word(item, key, "model or model@link, such as virtio-net@user")
			if !ok {
				return
			}
			c, problems := r.nic(s, r.known)
			for _, p := range problems {
				r.add(item, "%s: %s", key, p)
			}
			*into = append(*into, c)
		})
		if len(*into) > maxNICs {
			r.add(n, "%s: expected at most %d, found %d", key, maxNICs, len(*into))
		}
	}
}
