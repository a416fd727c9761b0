package disk

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
)

const maxMetalogLine = 64 << 10 // bytes

// readMetalog reads what install(1) noted with -M: one line for each node, with
// the owner and mode that it would have been given by root. File flags are left
// out: they protect a system that lives longer than a test's.
func readMetalog(ctx context.Context, name string) ([]entry, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("METALOG of the installed tree: %w", err)
	}
	defer f.Close()
	root := filepath.Dir(name)
	ids, err := readIDs(root)
	if err != nil {
		return nil, err
	}
	var entries []entry
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, maxMetalogLine)
	n := 0
	for lines.Scan() {
		n++
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		line := strings.TrimSpace(lines.Text())
		if line == "" || line[0] == '#' {
			continue
		}
		e, err := parseMetalog(line, ids)
		if err != nil {
			return nil, fmt.Errorf("%s:%d: %w", name, n, err)
		}
		if e.Mode.IsRegular() {
			e.host = filepath.Join(root, filepath.FromSlash(e.Path))
		}
		if entries = append(entries, e); len(entries) > 4*maxFiles {
			return nil, fmt.Errorf("%s: more than %d lines", name, 4*maxFiles)
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("%s:%d: %w", name, n+1, err)
	}
	if len(entries) == 0 {
		return nil, fmt.Errorf("%s: empty: was the tree installed with -DNO_ROOT?", name)
	}
	return entries, nil
}

func parseMetalog(line string, ids ids) (entry, error) {
	words := strings.Fields(line)
	name, err := decodeName(words[0])
	if err != nil {
		return entry{}, fmt.Errorf("name %.100q: %w", words[0], err)
	}
	if name != "." && !strings.HasPrefix(name, "./") {
		return entry{}, fmt.Errorf("%.100q: want a path that starts with ./, as install -M writes it", words[0])
	}
	keys := make(map[string]string)
	for _, word := range words[1:] {
		k, v, _ := strings.Cut(word, "=")
		keys[k] = v
	}
	// A path out of the root would be cleaned into it, and then not be there.
	e := entry{File: File{Path: path.Clean("/" + strings.TrimPrefix(name, "."))}}
	bits, err := strconv.ParseUint(keys["mode"], 8, 12)
	if err != nil {
		return e, fmt.Errorf("mode=%.20q: want octal digits, as mode=0755", keys["mode"])
	}
	e.Mode = fileMode(uint32(bits))
	switch keys["type"] {
	case "file":
	case "dir":
		e.Mode |= fs.ModeDir
	case "link":
		e.Mode |= fs.ModeSymlink
		if e.Link, err = decodeName(keys["link"]); err != nil {
			return e, fmt.Errorf("link=%.100q: %w", keys["link"], err)
		}
	default:
		return e, fmt.Errorf("type=%.20q: want file, dir or link", keys["type"])
	}
	if e.UID, err = ids.find(ids.users, keys["uid"], keys["uname"]); err != nil {
		return e, fmt.Errorf("uname=%.40q: %w", keys["uname"], err)
	}
	if e.GID, err = ids.find(ids.groups, keys["gid"], keys["gname"]); err != nil {
		return e, fmt.Errorf("gname=%.40q: %w", keys["gname"], err)
	}
	return e, e.check()
}

// ids are the users and groups of the installed tree, for the host's are others.
type ids struct{ users, groups map[string]int }

var errUnknownID = errors.New("not in the tree's etc/master.passwd or etc/group: install its distribution too")

// find is an id by number or name. install(1) without -o or -g notes neither, and
// root would have made the file its own.
func (ids) find(names map[string]int, number, name string) (int, error) {
	if number == "" && name == "" {
		return 0, nil
	}
	if number != "" {
		id, err := strconv.ParseUint(number, 10, 31)
		return int(id), err
	}
	if id, ok := names[name]; ok {
		return id, nil
	}
	return 0, errUnknownID
}

// readIDs reads passwd(5) and group(5), which agree in where name and number
// stand. A tree without them has the two names that every tree uses.
func readIDs(root string) (ids, error) {
	found := ids{map[string]int{"root": 0}, map[string]int{"wheel": 0}}
	for file, names := range map[string]map[string]int{"etc/master.passwd": found.users, "etc/group": found.groups} {
		text, err := os.ReadFile(filepath.Join(root, file))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return found, err
		}
		for line := range strings.Lines(string(text)) {
			fields := strings.Split(strings.TrimSpace(line), ":")
			if len(fields) < 3 || strings.HasPrefix(line, "#") {
				continue
			}
			if id, err := strconv.ParseUint(fields[2], 10, 31); err == nil {
				names[fields[0]] = int(id)
			}
		}
	}
	return found, nil
}
