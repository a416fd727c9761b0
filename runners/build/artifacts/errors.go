package artifacts

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"syscall"

	"github.com/headwatch/headwatch/runners"
)

// ErrNotPublished is wrapped by a *NotPublishedError.
var ErrNotPublished = errors.New("not published")

// ErrNoResults says that the guest did not finish what it was given: its meta
// disk has no end marker of this run. Nothing on it counts.
var ErrNoResults = errors.New("no results on the meta disk")

// NotPublishedError says that the server serves the branch and has not this file
// of this commit.
type NotPublishedError struct {
	URL     string
	Commit  string
	Partial bool // the server has other artifacts of the commit
}

func (e *NotPublishedError) Error() string {
	if e.Partial {
		return fmt.Sprintf("%s: not published, though the commit has other artifacts: it is still being uploaded or was not made", e.URL)
	}
	return fmt.Sprintf("%s: not published: the server has nothing of commit %.12s; not every commit is built there", e.URL, e.Commit)
}

func (e *NotPublishedError) Unwrap() error { return ErrNotPublished }

// DamagedError says that a file is not what it should be, as it lies on the
// server: fetching it again brings the same bytes.
type DamagedError struct {
	File    string // URL or path
	Problem string
	Want    string // hex SHA-256 that was published; empty: none was
	Got     string // hex SHA-256 found; empty: not taken
}

func (e *DamagedError) Error() string {
	s := e.File + ": " + e.Problem
	if e.Want != "" {
		s += fmt.Sprintf(": found sha256 %s, published is %s", e.Got, e.Want)
	} else if e.Got != "" {
		s += fmt.Sprintf(" (sha256 %s)", e.Got)
	}
	return s + "; test another commit, or wait until it is published anew"
}

// ChangedError says that the server has replaced a file that had been fetched
// before. Evidence from before and from now would be about different bytes.
type ChangedError struct {
	URL string
	Was string // hex SHA-256 at first download
	Now string
}

func (e *ChangedError) Error() string {
	return fmt.Sprintf("%s: changed on the server since it was first fetched: sha256 was %s, is %s", e.URL, e.Was, e.Now)
}

// Untestable reports whether err means that this commit cannot be tested from
// artifacts whatever the rig does: not published, or damaged on the server. A
// search goes around such a commit; it is neither good nor bad for any case. A
// commit younger than about a day may still be published, so a caller that asks
// about the newest commits may want to ask once more later.
func Untestable(err error) bool {
	var damaged *DamagedError
	return errors.Is(err, ErrNotPublished) || errors.As(err, &damaged)
}

// fault gives an error its class: what speaks of the commit or of the caller's
// own context stays as it is, everything else is the rig's.
func fault(op string, err error) error {
	var infra *runners.InfraError
	switch {
	case err == nil:
		return nil
	case Untestable(err), errors.As(err, &infra):
		return err
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("%s: %w", op, err)
	}
	return &runners.InfraError{Op: op, Err: err, Hint: hint(err)}
}

// hint says what the user can do.
func hint(err error) string {
	var (
		status  *statusError
		dns     *net.DNSError
		cert    *tls.CertificateVerificationError
		changed *ChangedError
		network net.Error
	)
	switch {
	case errors.As(err, &changed):
		return "if the new file is to be trusted, make the cache forget the old one"
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT), errors.Is(err, errNoSpace):
		return "free space on that disk, or use a folder on another"
	case errors.Is(err, errCacheFull), errors.Is(err, errTooLarge):
		return "raise the limit if the file is expected"
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS):
		return "check who owns the artifact cache's folder"
	case missing(err):
		return "check the URL"
	case errors.Is(err, errNotPacked), errors.Is(err, errNoChecksums):
		return "look at what is there: a proxy or a login page may answer in the server's place"
	case errors.As(err, &status) && (status.code == 401 || status.code == 403):
		return "the server wants credentials or forbids it: check the target's base"
	case errors.As(err, &dns), errors.Is(err, errRedirect), errors.Is(err, errNoBranch), errors.As(err, &cert):
		return "check the target's base and branch"
	case errors.As(err, &status), errors.As(err, &network), errors.Is(err, errCut), errors.Is(err, errStalled):
		return "check the network and the server; what arrived is kept, and the next try goes on from there"
	}
	return ""
}
