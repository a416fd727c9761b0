package pipeline

import (
	"net/url"
	"path"
	"regexp"
	"strings"

	"gopkg.in/yaml.v3"
)

// knownCase is what an entry may name: a suite, and a pattern for its cases.
var knownCase = regexp.MustCompile(`^[a-z0-9_-]+/[^\x00-\x20\x7f]+$`)

// knownFailures reads the section of that name.
func (r *reader) knownFailures(key string, n *yaml.Node) {
	r.items(n, key, "entries", func(item *yaml.Node) {
		var k KnownFailure
		var targets []ref
		r.fields(item, item, "known failure", map[string]field{
			"case":    r.text(&k.Case, r.checkKnownCase),
			"targets": r.refs(&targets, "targets"),
			"reason":  r.text(&k.Reason, checkReason),
			"link":    r.text(&k.Link, checkLink),
		}, "case", "reason")
		r.excuses = append(r.excuses, excuse{k, targets})
	})
}

// excuse is a known failure as written.
type excuse struct {
	KnownFailure
	targets []ref
}

// resolveKnown fills in the targets of known failures.
func (r *reader) resolveKnown() {
	for _, e := range r.excuses {
		e.Targets = resolveNames(r, "target", e.targets, r.file.Targets)
		r.file.KnownFailures = append(r.file.KnownFailures, e.KnownFailure)
	}
}

func (r *reader) checkKnownCase(s string) string {
	suite, _, _ := strings.Cut(s, "/")
	if _, err := path.Match(s, ""); err != nil || !knownCase.MatchString(s) {
		return "suite/case, in which * stands for any part of a case's name, found " + quote(s)
	}
	if _, ok := r.known.Suites[suite]; !ok {
		return "a case of a suite that there is, and there is no suite " + quote(suite)
	}
	return ""
}

func checkReason(s string) string {
	if strings.TrimSpace(s) == "" || len(s) > 1000 {
		return "what fails, in one line, so that the next reader can tell whether it still does"
	}
	return ""
}

func checkLink(s string) string {
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return "an http or https URL, found " + quote(s)
	}
	return ""
}
