// Package web is the dashboard: pages that are read in the morning, and the same
// as JSON. It only reads. The HTML is made on the server and is whole without a
// script; the one script keeps a page fresh and follows a console.
//
// A page is built in two steps: read what the store holds into a document of
// web/api (documents.go, grid.go), then either send the document or render it
// (pages.go). So the pages and the JSON cannot disagree.
//
// Everything that comes from a guest or an upstream is hostile: it is escaped by
// html/template, made visible where it could deceive a reader (clean.go), and
// shown under a policy that forbids everything the pages do not use (guard.go).
package web

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"html/template"
	"io/fs"
	"log/slog"
	"net/http"
	"path"
	"strings"
	"time"

	"github.com/headwatch/headwatch/web/api"
)

//go:embed static
var staticFiles embed.FS

//go:embed templates
var templateFiles embed.FS

// Options adjust the dashboard. The zero value works.
type Options struct {
	// Commits is how many commits the overview shows per upstream; 0: 30.
	Commits int
	// Flags are added to the commands that pages offer for copying, when these need
	// more than their defaults: " --state DIR".
	Flags string
	// Unknown tells a Reader's error for an id that it does not hold, or that is
	// ambiguous; nil: errors that wrap fs.ErrNotExist.
	Unknown func(error) bool
	// Console opens finished runs' consoles; nil: none are kept here.
	Console KeptConsole
	// Artifact opens the files that cases kept; nil: none are kept here.
	Artifact KeptArtifact
	// Hosts are names, besides the loopback ones, under which a server that
	// listens on a loopback address may be asked.
	Hosts []string
	// Streams bounds the console streams at one time; 0: 64.
	Streams int
	// Stall is how long a stream's reader may leave data untaken before it is cut
	// off; 0: 20 s.
	Stall time.Duration
	Now   func() time.Time // nil: time.Now
	Log   *slog.Logger     // nil: slog.Default
}

func (o *Options) fill() {
	if o.Commits <= 0 {
		o.Commits = 30
	}
	if o.Unknown == nil {
		o.Unknown = func(err error) bool { return errors.Is(err, fs.ErrNotExist) }
	}
	if o.Streams <= 0 {
		o.Streams = 64
	}
	if o.Stall <= 0 {
		o.Stall = 20 * time.Second
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
}

type site struct {
	read    Reader
	live    Live
	opt     Options
	log     *slog.Logger
	pages   map[string]*template.Template // by file name
	assets  map[string]asset              // by file name
	streams chan struct{}                 // one token per stream under way
}

type asset struct {
	body    []byte
	ctype   string
	version string // of its content, for addresses that may be kept forever
}

// Handler serves the dashboard and its JSON.
func Handler(r Reader, live Live, opt Options) http.Handler {
	opt.fill()
	s := &site{
		read: r, live: live, opt: opt, log: opt.Log,
		assets:  loadAssets(),
		streams: make(chan struct{}, opt.Streams),
	}
	s.pages = loadPages(s.funcs())
	mux := http.NewServeMux()
	page := func(pattern string, h func(http.ResponseWriter, *http.Request) error) {
		mux.HandleFunc(pattern, bounded(func(w http.ResponseWriter, r *http.Request) {
			if err := h(w, r); err != nil {
				s.fail(w, r, err)
			}
		}))
	}
	page("/{$}", s.overviewPage)
	page("/run/{id}", s.runPage)
	page("/commit/{hash}", s.commitPage)
	page("/regression/{id}", s.regressionPage)
	page("/crashes", s.crashesPage)
	page("/crash/{signature}", s.crashPage)
	page("/static/{name}", s.static)
	page(api.PathHealth, s.health)
	page(api.PathOverview, s.overviewJSON)
	page(api.PathRuns+"{id}", s.runJSON)
	page(api.PathRegressions, s.regressionsJSON)
	page(api.PathCommits+"{hash}", s.commitJSON)
	page(api.PathCrashes, s.crashesJSON)
	page(api.PathCrashes+"/{signature}", s.crashJSON)
	page("/", func(w http.ResponseWriter, r *http.Request) error {
		return refuse(http.StatusNotFound, "not_found", "there is no page at this address")
	})
	mux.HandleFunc("/run/{id}/artifact/{suite}/{case}/{name}", s.artifact)
	mux.HandleFunc("/run/{id}/console", s.consoleText)
	mux.HandleFunc("/run/{id}/console/stream", s.consoleStream)
	return s.guard(mux)
}

// loadPages parses every page together with the layout. The files are part of
// the binary, so a mistake in one is a mistake of the build: it stops the
// process, in the first test already.
func loadPages(funcs template.FuncMap) map[string]*template.Template {
	layout := template.Must(template.New("layout.html").Funcs(funcs).ParseFS(templateFiles, "templates/layout.html"))
	names, err := fs.Glob(templateFiles, "templates/*.html")
	if err != nil {
		panic(err)
	}
	pages := map[string]*template.Template{}
	for _, name := range names {
		if base := path.Base(name); base != "layout.html" {
			pages[base] = template.Must(template.Must(layout.Clone()).ParseFS(templateFiles, name))
		}
	}
	return pages
}

func loadAssets() map[string]asset {
	types := map[string]string{
		".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml",
	}
	entries, err := staticFiles.ReadDir("static")
	if err != nil {
		panic(err)
	}
	assets := map[string]asset{}
	for _, e := range entries {
		body, err := staticFiles.ReadFile("static/" + e.Name())
		if err != nil {
			panic(err)
		}
		sum := sha256.Sum256(body)
		assets[e.Name()] = asset{body, types[path.Ext(e.Name())], hex.EncodeToString(sum[:6])}
	}
	return assets
}

func (s *site) static(w http.ResponseWriter, r *http.Request) error {
	a, ok := s.assets[r.PathValue("name")]
	if !ok {
		return refuse(http.StatusNotFound, "not_found", "no file %q here", visible(r.PathValue("name")))
	}
	if r.URL.Query().Get("v") == a.version {
		w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
	}
	s.send(w, r, http.StatusOK, a.ctype, a.body)
	return nil
}

// pageData is what the layout shows.
type pageData struct {
	Title   string
	Refresh int    // seconds after which the script reads the page again; 0: never
	JSON    string // address of the same as JSON
	Body    any
}

type errorPage struct {
	Status              int
	Text, Message, Path string
}

// page renders into memory first: a page that cannot be rendered is an error
// page, not half a page.
func (s *site) page(w http.ResponseWriter, r *http.Request, status int, name string, d pageData) {
	if d.JSON == "" {
		d.JSON = api.PathOverview
	}
	d.Title = strings.TrimSpace(visible(d.Title))
	var b bytes.Buffer
	if err := s.pages[name].ExecuteTemplate(&b, "layout.html", d); err != nil {
		s.log.Error("render", "page", name, "path", r.URL.Path, "err", err)
		http.Error(w, "500: this page could not be rendered; the server's log has the details", http.StatusInternalServerError)
		return
	}
	s.send(w, r, status, "text/html; charset=utf-8", b.Bytes())
}
