package pipeline

import (
	"net/mail"
	"net/url"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/robfig/cron/v3"
)

// A check says what was expected of a word that it does not accept, and "" of
// one that it does. Addresses are not quoted back: they may hold a password.

var (
	validName    = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,39}$`)
	githubName   = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9-]{0,38}/[A-Za-z0-9_.-]{1,100}$`)
	remoteHelper = regexp.MustCompile(`^[A-Za-z0-9+.-]+::`)
	configName   = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$`)
	moduleName   = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}$`)
)

func checkGitHub(s string) string {
	_, name, _ := strings.Cut(s, "/")
	if !githubName.MatchString(s) || name == "." || name == ".." || strings.HasSuffix(name, ".git") {
		return "owner/name, such as freebsd/freebsd-src, found " + quote(s)
	}
	return ""
}

// checkGit accepts what git takes as a repository, but for what it would take
// as an option, and for remote helpers, which run commands.
func checkGit(s string) string {
	const expected = "an https, http, ssh, git or file URL, host:path, or a path (a relative one is below the state directory)"
	if s == "" || len(s) > 2048 || strings.HasPrefix(s, "-") || strings.HasPrefix(s, "~") ||
		!printable(s) || remoteHelper.MatchString(s) {
		return expected
	}
	if !strings.Contains(s, "://") {
		return ""
	}
	u, err := url.Parse(s)
	switch {
	case err != nil, u.Path == "":
		return expected
	case u.Scheme == "file":
		return ""
	case u.Host != "" && slices.Contains([]string{"https", "http", "ssh", "git"}, u.Scheme):
		return ""
	}
	return expected
}

// checkBranch keeps the rules of git-check-ref-format(1).
func checkBranch(s string) string {
	bad := s == "" || s == "@" || len(s) > 200 || !printable(s) || strings.ContainsAny(s, ` ~^:?*[\`)
	for _, part := range []string{"..", "//", "@{", "/."} {
		bad = bad || strings.Contains(s, part)
	}
	for _, start := range []string{"-", "/", ".", "refs/"} {
		bad = bad || strings.HasPrefix(s, start)
	}
	for _, end := range []string{"/", ".", ".lock"} {
		bad = bad || strings.HasSuffix(s, end)
	}
	if bad || strings.Contains(s, ".lock/") {
		return "a branch's name, such as main or stable/14, found " + quote(s)
	}
	return ""
}

func checkKernel(s string) string {
	kernels := []string{"cloud", "generic"}
	if slices.Contains(kernels, s) || filepath.IsAbs(s) && printable(s) {
		return ""
	}
	expected := "cloud, generic or the absolute path of a folder, found " + quote(s)
	if c := near(s, kernels); c != "" {
		expected += ": did you mean " + quote(c) + "?"
	}
	return expected
}

func checkConfig(s string) string {
	if !configName.MatchString(s) {
		return "a kernel configuration's name, such as GENERIC, found " + quote(s)
	}
	return ""
}

func checkFragment(s string) string {
	if strings.TrimSpace(s) == "" || len(s) > 200 || !printable(strings.ReplaceAll(s, "\t", " ")) {
		return "one line of a kernel configuration, such as device virtio_console, found " + quote(s)
	}
	return ""
}

func checkOverlay(s string) string {
	if s == "." || !filepath.IsLocal(s) || path.Clean(s) != s || !printable(s) {
		return "a folder of the commit's tree, such as guest, found " + quote(s)
	}
	return ""
}

func checkArgument(s string) string {
	if len(splitArguments(s)) != 1 || splitArguments(s)[0] != s || strings.Count(s, `"`)%2 != 0 || !printable(s) {
		return "one kernel argument, with spaces only in double quotes, found " + quote(s)
	}
	return ""
}

func checkModule(s string) string {
	if !moduleName.MatchString(s) {
		return "a kernel module's name, found " + quote(s)
	}
	return ""
}

// checkCron accepts the five fields of crontab(5) that come round at all.
func checkCron(s string) string {
	const expected = `five fields (minute, hour, day of month, month, day of week), such as "30 2 * * *"`
	// The library also takes @every, @daily and a time zone, which a crontab's
	// reader does not expect.
	if len(s) > 200 || len(strings.Fields(s)) != 5 || strings.ContainsAny(s, "@=") {
		return expected + ", found " + quote(s)
	}
	schedule, err := cron.ParseStandard(s)
	if err != nil {
		return expected + ": " + strconv.QuoteToGraphic(err.Error())
	}
	if schedule.Next(time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)).IsZero() {
		return "a time that comes, found " + quote(s)
	}
	return ""
}

func checkMail(s string) string {
	if a, err := mail.ParseAddress(s); err != nil || a.Address != s || len(s) > 254 {
		return "a mail address, such as kernel@example.org"
	}
	return ""
}

func checkWebhook(s string) string {
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Hostname() == "" || len(s) > 2048 || !printable(s) {
		return "an https or http URL, such as https://example.org/hook"
	}
	return ""
}

func checkBase(s string) string {
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Hostname() == "" || u.RawQuery != "" || u.Fragment != "" ||
		len(s) > 2048 || !printable(s) {
		return "an https or http URL, such as " + defaultBase
	}
	return ""
}

// printable says that there is no control character in s.
func printable(s string) bool { return !strings.ContainsFunc(s, unicode.IsControl) }
