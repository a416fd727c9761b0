package web

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/headwatch/headwatch/orchestrator"
	"github.com/headwatch/headwatch/web/api"
)

// KeptArtifact opens a file that a case kept. When it is not there, the error wraps
// fs.ErrNotExist.
type KeptArtifact func(ctx context.Context, a orchestrator.Artifact) (io.ReadSeekCloser, error)

// shownTypes are what a browser may show; anything else is a download, and whatever a
// case calls it has a type here that no browser runs.
var shownTypes = map[string]string{
	"image/svg+xml":    "image/svg+xml",
	"image/png":        "image/png",
	"text/plain":       "text/plain; charset=utf-8",
	"application/json": "application/json",
}

// artifactPolicy is for a file that is opened by itself: a picture may bring its own
// styles, and nothing runs, loads or leads anywhere.
const artifactPolicy = "default-src 'none'; style-src 'unsafe-inline'; sandbox; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// servedAs is how a media type is served, and whether it is shown.
func servedAs(mediaType string) (ctype string, shown bool) {
	base, _, err := mime.ParseMediaType(mediaType)
	if ctype = shownTypes[base]; err == nil && ctype != "" {
		return ctype, true
	}
	return "application/octet-stream", false
}

// isPicture says whether a page can show it in place.
func isPicture(mediaType string) bool {
	ctype, shown := servedAs(mediaType)
	return shown && strings.HasPrefix(ctype, "image/")
}

// artifactDocument is an artifact as the pages and the JSON show it.
func artifactDocument(a orchestrator.Artifact) api.Artifact {
	return api.Artifact{Name: a.Name, MediaType: a.MediaType, SizeBytes: a.Size, SHA256: a.SHA256,
		URL: "/run/" + url.PathEscape(a.Run) + "/artifact/" + strings.ReplaceAll(url.PathEscape(a.Case), "%2F", "/") + "/" + url.PathEscape(a.Name)}
}

// artifact serves a file that a case kept, by the database's word for where it is.
func (s *site) artifact(w http.ResponseWriter, r *http.Request) {
	a, err := s.findArtifact(r)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	f, err := s.openArtifact(r.Context(), a)
	if errors.Is(err, fs.ErrNotExist) {
		err = refuse(http.StatusNotFound, "not_found", "artifact %s of run %s is not here any more", visible(a.Name), a.Run)
	}
	if err != nil {
		s.fail(w, r, err)
		return
	}
	defer f.Close()
	h := w.Header()
	ctype, shown := servedAs(a.MediaType)
	h.Set("Content-Type", ctype)
	h.Set("Content-Security-Policy", artifactPolicy)
	h.Set("Cache-Control", "no-cache")
	h.Set("ETag", `"`+a.SHA256+`"`)
	disposition := "inline"
	if !shown {
		disposition = "attachment"
	}
	name := strings.ReplaceAll(a.Run+"-"+a.Case+"-"+a.Name, "/", "-")
	h.Set("Content-Disposition", mime.FormatMediaType(disposition, map[string]string{"filename": name}))
	http.ServeContent(&patient{w, http.NewResponseController(w), s.opt.Stall}, r, "", time.Time{}, f)
}

// findArtifact finds what the address names.
func (s *site) findArtifact(r *http.Request) (orchestrator.Artifact, error) {
	run, err := s.read.Run(r.Context(), r.PathValue("id"))
	if err != nil {
		return orchestrator.Artifact{}, s.missing(err, "run", r.PathValue("id"))
	}
	all, err := s.read.RunArtifacts(r.Context(), run.ID)
	if err != nil {
		return orchestrator.Artifact{}, err
	}
	name := r.PathValue("suite") + "/" + r.PathValue("case")
	for _, a := range all {
		if a.Case == name && a.Name == r.PathValue("name") {
			return a, nil
		}
	}
	return orchestrator.Artifact{}, refuse(http.StatusNotFound, "not_found", "case %s of run %s has no artifact %q", visible(name), run.ID, visible(r.PathValue("name")))
}

func (s *site) openArtifact(ctx context.Context, a orchestrator.Artifact) (io.ReadSeekCloser, error) {
	if s.opt.Artifact == nil {
		return nil, fmt.Errorf("not kept here: %w", fs.ErrNotExist)
	}
	return s.opt.Artifact(ctx, a)
}

// patient moves the write deadline on with every write, for a file that is long over a
// line that is slow.
type patient struct {
	http.ResponseWriter
	control *http.ResponseController
	stall   time.Duration
}

func (p *patient) Write(b []byte) (int, error) {
	p.control.SetWriteDeadline(time.Now().Add(p.stall)) // not every writer has one
	return p.ResponseWriter.Write(b)
}

// attach puts artifacts under the results of their cases.
func attach(d *api.Run, artifacts []orchestrator.Artifact) {
	for _, a := range artifacts {
		for i := range d.Results {
			if r := &d.Results[i]; r.Case == a.Case {
				r.Artifacts = append(r.Artifacts, artifactDocument(a))
			}
		}
	}
}
