package artifacts

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// maxDownloads is how often a file whose bytes are wrong is fetched from the
// start. Two downloads that agree in their digest prove that the server's copy
// is wrong, and that it was not the way.
const maxDownloads = 3

// Options bound what a Fetcher does. Zero values mean the default.
type Options struct {
	MaxFile  int64         // bytes of one file; 8 GiB
	MaxPlain int64         // bytes that a file without published checksum may unpack to; 32 GiB
	Stall    time.Duration // silence after which a request is given up; 60 s
	Backoff  time.Duration // pause after a first failure, doubled each time; 1 s
	Attempts int           // requests in a row that may bring nothing; 6
	// Progress is called from the goroutine of Fetch, for each piece that arrives.
	Progress func(Progress)
}

// Progress says how far a download is.
type Progress struct {
	URL   string
	Done  int64 // bytes, those of an earlier process included
	Total int64 // bytes; -1: the server did not say
}

// Fetcher brings published files into a cache. It is safe for concurrent use, by
// any number of processes: a file that several want is downloaded once.
//
// A server that sends a little now and then is not given up; who cannot wait
// ends the context.
type Fetcher struct {
	cache  *Cache
	client *http.Client
	o      Options
}

// NewFetcher returns a Fetcher that is done with by Close.
func NewFetcher(c *Cache, o Options) *Fetcher {
	if o.MaxFile == 0 {
		o.MaxFile = 8 << 30
	}
	if o.MaxPlain == 0 {
		o.MaxPlain = 32 << 30
	}
	if o.Stall == 0 {
		o.Stall = time.Minute
	}
	if o.Backoff == 0 {
		o.Backoff = time.Second
	}
	if o.Attempts == 0 {
		o.Attempts = 6
	}
	if o.Progress == nil {
		o.Progress = func(Progress) {}
	}
	return &Fetcher{cache: c, client: newClient(o.Stall), o: o}
}

// Close ends idle connections. Fetches under way end by their context.
func (f *Fetcher) Close() { f.client.CloseIdleConnections() }

// Fetch returns the named artifact of a commit, from the cache when it is there,
// without asking the server. The caller closes the file when it has been used.
//
// Errors for which Untestable is true speak of this commit: a
// *NotPublishedError, a *DamagedError. All others are the rig's
// (*runners.InfraError) or the context's own.
func (f *Fetcher) Fetch(ctx context.Context, p Place, name string) (*File, error) {
	url, err := p.URL(name)
	if err != nil {
		return nil, fault("fetch artifact", err)
	}
	file, err := f.fetch(ctx, url, "MANIFEST")
	if missing(err) {
		err = f.explain(ctx, p, name, url)
	}
	return file, fault("fetch "+url, err)
}

// FetchURL returns a release or snapshot image, such as
// https://…/FreeBSD-14.0-RELEASE-amd64.raw.xz, checked by the CHECKSUM.SHA256
// beside it. One that is not there is the rig's fault: no commit is meant.
func (f *Fetcher) FetchURL(ctx context.Context, url string) (*File, error) {
	if err := checkURL(url); err != nil {
		return nil, fault("fetch image", fmt.Errorf("%q: %w", url, err))
	}
	file, err := f.fetch(ctx, url, "CHECKSUM.SHA256")
	return file, fault("fetch "+url, err)
}

// Latest returns the commit that one of the branch's links points to, such as
// LatestTested. p.Commit is not read.
func (f *Fetcher) Latest(ctx context.Context, p Place, link string) (string, error) {
	if err := p.check(); err != nil {
		return "", fault("find the "+link+" commit", err)
	}
	url := p.fileURL(link, "revision.txt")
	text, err := f.text(ctx, url, 4<<10)
	if err != nil {
		return "", fault("fetch "+url, err)
	}
	commit := strings.TrimSpace(text)
	if !commitPattern.MatchString(commit) {
		return "", fault("fetch "+url, fmt.Errorf("%.60q is no commit: want 40 hex digits", commit))
	}
	return commit, nil
}

// explain tells, for a file that is not there, a commit that was not published
// from a base or branch that is wrong altogether.
func (f *Fetcher) explain(ctx context.Context, p Place, name, url string) error {
	there, err := f.exists(ctx, p.fileURL(p.Commit, "revision.txt"))
	if err != nil {
		return err
	}
	if there {
		return &NotPublishedError{URL: url, Commit: p.Commit, Partial: true}
	}
	// Some servers list folders, some have none and know files only.
	for _, proof := range []string{p.branchURL(), p.fileURL(LatestBuilt, "revision.txt")} {
		there, err := f.exists(ctx, proof)
		if err != nil {
			return err
		}
		if there {
			return &NotPublishedError{URL: url, Commit: p.Commit}
		}
	}
	return fmt.Errorf("%w: nothing at %s", errNoBranch, p.branchURL())
}

func (f *Fetcher) fetch(ctx context.Context, url, checksums string) (_ *File, err error) {
	l, err := acquire(ctx, f.cache.path("parts", key(url)+".lock"))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, l.release()) }()
	file, old, err := f.cache.lookup(ctx, url)
	if file != nil || err != nil {
		return file, err
	}
	want, err := f.published(ctx, beside(url, checksums), url[strings.LastIndexByte(url, '/')+1:])
	if err != nil {
		return nil, err
	}
	if old != nil && want != "" && want != old.Digest {
		return nil, &ChangedError{URL: url, Was: old.Digest, Now: want}
	}
	return f.download(ctx, url, checksums, want, old)
}

// published returns the hex SHA-256 that the server publishes for the file;
// empty: it publishes none.
func (f *Fetcher) published(ctx context.Context, url, name string) (string, error) {
	text, err := f.text(ctx, url, maxChecksumFile)
	if missing(err) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("%s: %w", url, err)
	}
	sums, err := parseChecksums(text)
	if err != nil {
		return "", fmt.Errorf("%s: %w", url, err)
	}
	return sums[name], nil
}

// download fetches until the bytes are right, or are proven wrong.
func (f *Fetcher) download(ctx context.Context, url, checksums, want string, old *record) (_ *File, err error) {
	p, err := f.cache.openPart(url)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, p.close()) }()
	seen := make(map[string]bool)
	for range maxDownloads {
		if err = f.transfer(ctx, url, p); err != nil {
			break
		}
		var digest string
		if digest, err = f.examine(ctx, url, p, want); err == nil {
			rec := record{URL: url, Digest: digest, Size: p.size, Received: time.Now().UTC()}
			if want != "" {
				rec.Checked = beside(url, checksums)
			}
			return f.keep(ctx, p, rec, old)
		}
		if !Untestable(err) && !errors.Is(err, errNotPacked) {
			break
		}
		if err := p.begin(partMeta{URL: url, Total: -1}); err != nil {
			return nil, err
		}
		if seen[digest] {
			return nil, errors.Join(err, p.discard())
		}
		seen[digest] = true
	}
	if Untestable(err) { // but no two downloads agree
		err = fmt.Errorf("damaged on the way: %d downloads differ from each other; the last: %v", maxDownloads, err)
	}
	if p.size == 0 {
		err = errors.Join(err, p.discard())
	}
	return nil, err
}

// examine returns the hex SHA-256 of a complete part, and a *DamagedError when
// the part is not what was published.
func (f *Fetcher) examine(ctx context.Context, url string, p *part, want string) (string, error) {
	digest, _, err := digestOf(ctx, io.NewSectionReader(p.file, 0, p.size))
	if err != nil {
		return "", err
	}
	if want != "" {
		if digest != want {
			return digest, &DamagedError{File: url, Problem: "corrupted", Want: want, Got: digest}
		}
		return digest, nil
	}
	err = checkPacked(ctx, p.path, f.o.MaxPlain)
	var damaged *DamagedError
	if errors.As(err, &damaged) {
		err = &DamagedError{File: url, Problem: damaged.Problem, Got: digest}
	}
	return digest, err
}

// keep stores the part, unless the server has replaced the file since.
func (f *Fetcher) keep(ctx context.Context, p *part, rec record, old *record) (*File, error) {
	if old != nil && old.Digest != rec.Digest {
		return nil, errors.Join(&ChangedError{URL: rec.URL, Was: old.Digest, Now: rec.Digest}, p.discard())
	}
	if old != nil {
		rec = *old
	}
	return f.cache.store(ctx, p, rec)
}
