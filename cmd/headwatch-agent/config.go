//go:build linux || freebsd

package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// config is /etc/headwatch.json: what the guest needs before it can be served.
type config struct {
	Modules []string    `json:"modules"` // absolute paths, in load order
	Sysctls [][2]string `json:"sysctls"` // name and value, written in order, after the modules
}

var sysctlName = regexp.MustCompile(`^[A-Za-z0-9_-]+([./][A-Za-z0-9_.-]+)*$`)

// readConfig reads a config file. One that is not there is an empty one.
func readConfig(path string) (config, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return config{}, nil
	}
	if err != nil {
		return config{}, err
	}
	c, err := parseConfig(text)
	if err != nil {
		return config{}, fmt.Errorf("%s: %w", path, err)
	}
	return c, nil
}

func parseConfig(text []byte) (config, error) {
	var c config
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&c); err != nil {
		return config{}, err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return config{}, errors.New("more than one JSON document")
	}
	for i, m := range c.Modules {
		if !filepath.IsAbs(m) {
			return config{}, fmt.Errorf("modules[%d]: %q is not an absolute path", i, m)
		}
	}
	for i, s := range c.Sysctls {
		if !sysctlName.MatchString(s[0]) || strings.Contains(s[0], "..") {
			return config{}, fmt.Errorf("sysctls[%d]: %q is not a name, as in net.ipv4.tcp_sack", i, s[0])
		}
	}
	return c, nil
}
