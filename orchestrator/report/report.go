// Package report writes down what is known of a regression, for the people who can mend
// it: as plain text for a bug tracker or a mailing list, or as Markdown. It is pure, and
// says nothing that was not measured: what is not known is left out.
package report

import (
	"time"
)

// Report is all that a maintainer needs of a regression. Empty fields are left out.
type Report struct {
	ID       int64     `json:"id"`
	Upstream string    `json:"upstream,omitempty"`
	Target   string    `json:"target,omitempty"`
	Machine  string    `json:"machine,omitempty"`  // its name; empty for case "build"
	Hardware string    `json:"hardware,omitempty"` // what it is made of
	Case     string    `json:"case,omitempty"`     // "suite/case", "build" or "boot"
	Checks   string    `json:"checks,omitempty"`   // what the case checks, in one line
	State    string    `json:"state,omitempty"`    // "open", "located", "ranged" or "fixed"
	Said     string    `json:"said,omitempty"`     // what the failing case said, or the compiler
	Opened   time.Time `json:"opened"`

	Culprit *Commit  `json:"culprit,omitempty"` // nil: only a range is known
	Changes []Change `json:"changes,omitempty"`
	Good    Commit   `json:"good,omitzero"`     // newest commit known good before it; Hash empty: none is known
	Bad     Commit   `json:"bad"`               // oldest commit known bad
	Between int      `json:"between,omitempty"` // commits between them
	FixedBy *Commit  `json:"fixed_by,omitempty"`

	Confidence float64 `json:"confidence,omitempty"` // posterior that the culprit is the first bad commit; 0: not located
	AtGood     Count   `json:"at_good"`
	AtBad      Count   `json:"at_bad"`
	AtFix      Count   `json:"at_fix,omitzero"`

	Crash     *Crash     `json:"crash,omitempty"` // nil: none
	Run       *Run       `json:"run,omitempty"`   // a failing one; nil: none is kept
	Artifacts []Artifact `json:"artifacts,omitempty"`
	Version   string     `json:"version,omitempty"` // of headwatch
}

// Commit is what people need to find a commit and its author.
type Commit struct {
	Hash    string    `json:"hash,omitempty"`
	Author  string    `json:"author,omitempty"`
	Email   string    `json:"email,omitempty"`
	Subject string    `json:"subject,omitempty"`
	Time    time.Time `json:"time"`
}

// Change is one path that a commit touches.
type Change struct {
	Path    string `json:"path,omitempty"`
	Added   int    `json:"added"`
	Deleted int    `json:"deleted"` // lines; -1: not known, or not a text
}

// Count is how often a case failed on a commit, in cold boots.
type Count struct {
	Failed int `json:"failed"`
	Passed int `json:"passed"`
}

// Boots is the number of cold boots that told something.
func (c Count) Boots() int { return c.Failed + c.Passed }

// Crash is what the kernel said.
type Crash struct {
	Title     string `json:"title"`
	Signature string `json:"signature"`
	Text      string `json:"text"`
}

// Run is how the case was run.
type Run struct {
	ID       string    `json:"id"`
	Kernel   string    `json:"kernel,omitempty"`
	Accel    string    `json:"accel,omitempty"`
	Monitor  string    `json:"monitor,omitempty"`
	Image    string    `json:"image,omitempty"`
	Command  string    `json:"command,omitempty"`
	Seed     uint64    `json:"seed"`
	Finished time.Time `json:"finished"`
}

// Artifact is a file that the failing case kept.
type Artifact struct {
	Name      string `json:"name,omitempty"`
	MediaType string `json:"media_type,omitempty"`
	SHA256    string `json:"sha256,omitempty"`
	Size      int64  `json:"size,omitempty"` // bytes
}
