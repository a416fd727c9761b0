package web

import (
	"context"
	"net/http"
	"net/url"

	"github.com/headwatch/headwatch/orchestrator"
	"github.com/headwatch/headwatch/web/api"
)

// Limits of what is read for the pages of crashes.
const (
	maxCrashes   = 200
	maxCrashRuns = 100
)

func crashDocument(c orchestrator.Crash) api.Crash {
	d := api.Crash{Title: c.Title, Signature: c.Signature, Kind: c.Kind, Where: c.Where, Text: c.Text, Frames: make([]api.Frame, 0, len(c.Frames))}
	for _, f := range c.Frames {
		d.Frames = append(d.Frames, api.Frame(f))
	}
	return d
}

func knownDocument(k orchestrator.KnownCrash) api.KnownCrash {
	d := api.KnownCrash{Crash: crashDocument(k.Crash), Runs: k.Runs, LastRun: k.Run, First: k.First.UTC(), Last: k.Last.UTC(),
		Places: make([]api.CrashPlace, 0, len(k.Places))}
	for _, p := range k.Places {
		d.Places = append(d.Places, api.CrashPlace{Upstream: p.Upstream, Target: p.Target, Runs: p.Runs, FirstCommit: p.First, LastCommit: p.Last})
	}
	return d
}

// crashes reads the newest, without their texts.
func (s *site) crashes(ctx context.Context) ([]api.KnownCrash, error) {
	all, err := s.read.Crashes(ctx, maxCrashes)
	if err != nil {
		return nil, err
	}
	docs := make([]api.KnownCrash, 0, len(all))
	for _, k := range all {
		d := knownDocument(k)
		d.Text = ""
		docs = append(docs, d)
	}
	return docs, nil
}

// crash reads the document of one signature.
func (s *site) crash(ctx context.Context, signature string) (api.KnownCrash, error) {
	k, err := s.read.Crash(ctx, signature)
	if err != nil {
		return api.KnownCrash{}, s.missing(err, "crash", signature)
	}
	runs, err := s.read.CrashRuns(ctx, k.Signature, maxCrashRuns)
	d := knownDocument(k)
	d.Seen = summaries(runs)
	return d, err
}

func (s *site) crashesPage(w http.ResponseWriter, r *http.Request) error {
	docs, err := s.crashes(r.Context())
	if err != nil {
		return err
	}
	s.page(w, r, http.StatusOK, "crashes.html", pageData{Title: "Crashes", Refresh: overviewRefresh, JSON: api.PathCrashes, Body: docs})
	return nil
}

type crashPage struct {
	api.KnownCrash
	Places []crashPlace
}

// crashPlace is a place with the subjects of its commits.
type crashPlace struct {
	api.CrashPlace
	FirstSubject, LastSubject string
}

func (s *site) crashPage(w http.ResponseWriter, r *http.Request) error {
	ctx := r.Context()
	doc, err := s.crash(ctx, r.PathValue("signature"))
	if err != nil {
		return err
	}
	p := crashPage{KnownCrash: doc}
	for _, place := range doc.Places {
		v := crashPlace{CrashPlace: place}
		if v.FirstSubject, err = s.subject(ctx, place.FirstCommit); err != nil {
			return err
		}
		if v.LastSubject, err = s.subject(ctx, place.LastCommit); err != nil {
			return err
		}
		p.Places = append(p.Places, v)
	}
	s.page(w, r, http.StatusOK, "crash.html", pageData{Title: doc.Title, JSON: api.PathCrashes + "/" + url.PathEscape(doc.Signature), Body: p})
	return nil
}

// subject is what a commit says of itself; empty for one that is not known here.
func (s *site) subject(ctx context.Context, hash string) (string, error) {
	if hash == "" {
		return "", nil
	}
	c, err := s.read.Commit(ctx, hash)
	if err != nil && !s.opt.Unknown(err) {
		return "", err
	}
	return c.Subject, nil
}

func (s *site) crashesJSON(w http.ResponseWriter, r *http.Request) error {
	docs, err := s.crashes(r.Context())
	if err != nil {
		return err
	}
	s.sendJSON(w, r, http.StatusOK, docs)
	return nil
}

func (s *site) crashJSON(w http.ResponseWriter, r *http.Request) error {
	doc, err := s.crash(r.Context(), r.PathValue("signature"))
	if err != nil {
		return err
	}
	s.sendJSON(w, r, http.StatusOK, doc)
	return nil
}
