package disk

import (
	"bytes"
	"fmt"
	"regexp"
	"strings"
)

// Setting is a line of loader.conf(5): a variable of the loader, which the kernel
// finds in its environment too.
type Setting struct{ Name, Value string }

var (
	settingName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.-]*$`)
	// moduleKey are names that the loader takes for what it should do with a file,
	// and whose values it takes as they stand.
	moduleKey = regexp.MustCompile(`^[A-Za-z0-9_-]+_(load|name|type|flags|before|after|error)$`)
)

// Limits of the kernel's environment (sys/kern/kern_environment.c): KENV_MNAMELEN
// and KENV_MVALLEN.
const (
	maxSettingName  = 128
	maxSettingValue = 128
)

// ParseSetting reads name=value, without quotes.
func ParseSetting(line string) (Setting, error) {
	name, value, ok := strings.Cut(line, "=")
	s := Setting{strings.TrimSpace(name), value}
	if !ok {
		return s, fmt.Errorf("loader setting %.100q: want name=value", line)
	}
	if _, err := s.quoted(); err != nil {
		return s, fmt.Errorf("loader setting %.100q: %w", s.Name, err)
	}
	return s, nil
}

// LoaderConf is the text of a loader.conf with these settings in this order. Of
// settings with the same name the last one counts, for the loader too. An error
// names the setting that cannot be said.
func LoaderConf(settings []Setting) ([]byte, error) {
	var b bytes.Buffer
	for _, s := range settings {
		value, err := s.quoted()
		if err != nil {
			return nil, fmt.Errorf("loader setting %.100q: %w", s.Name, err)
		}
		fmt.Fprintf(&b, "%s=%s\n", s.Name, value)
	}
	return b.Bytes(), nil
}

// quoted writes the value as stand/lua/config.lua reads it: between quotes, with
// a backslash before what else would end it or name a variable. Values that say
// what to do with a file know no backslash.
func (s Setting) quoted() (string, error) {
	switch {
	case !settingName.MatchString(s.Name) || len(s.Name) > maxSettingName:
		return "", fmt.Errorf("want a name of letters, digits, _ . and -, of at most %d", maxSettingName)
	case s.Name == "exec":
		return "", fmt.Errorf("would be a command, not a setting")
	case len(s.Value) > maxSettingValue:
		return "", fmt.Errorf("value of %d bytes: at most %d", len(s.Value), maxSettingValue)
	}
	for i := range len(s.Value) {
		if c := s.Value[i]; c < ' ' || c == 0x7f {
			return "", fmt.Errorf("value %q: holds a control character", s.Value)
		}
	}
	if moduleKey.MatchString(s.Name) {
		if strings.ContainsAny(s.Value, `"\$`) {
			return "", fmt.Errorf(`value %q: holds ", \ or $, which this setting cannot`, s.Value)
		}
		return `"` + s.Value + `"`, nil
	}
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, `$`, `\$`).Replace(s.Value) + `"`, nil
}
