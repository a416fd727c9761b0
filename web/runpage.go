package web

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/headwatch/headwatch/orchestrator"
	"github.com/headwatch/headwatch/suites"
	"github.com/headwatch/headwatch/web/api"
)

// pageConsole is how many bytes of the console's end a run's page shows.
const pageConsole = 64 << 10

type runPage struct {
	api.Run
	Word        string // status, or state while there is none
	Subject     string // of the commit; empty: not known here
	TookS       float64
	Tally       string
	Facts       []fact
	Console     string
	ConsoleNote string // why there is no console; empty: there is
	Live        bool
}

// fact is one line of the table; Full is a longer form for its title.
type fact struct {
	Name, Value, Full string
	Mono              bool
}

func (s *site) runPage(w http.ResponseWriter, r *http.Request) error {
	ctx := r.Context()
	doc, run, err := s.run(ctx, r.PathValue("id"))
	if err != nil {
		return err
	}
	p := runPage{Run: doc, Word: doc.Status, Tally: tally(doc.Results), Facts: facts(doc)}
	if doc.Status == "" || doc.State == string(orchestrator.RunAbandoned) {
		p.Word = doc.State
	}
	if !run.Finished.IsZero() {
		p.TookS = seconds(run.Finished.Sub(run.Started))
	}
	if c, err := s.read.Commit(ctx, doc.Commit); err == nil {
		p.Subject = c.Subject
	} else if !s.opt.Unknown(err) {
		return err
	}
	// The script follows the console by a stream and asks for the rest only.
	if !r.URL.Query().Has("live") {
		if err := s.fillConsole(ctx, &p, run); err != nil {
			return err
		}
	}
	d := pageData{Title: fmt.Sprintf("%s %s, %s", symbol(p.Word), doc.Suite, doc.Target), JSON: api.PathRuns + url.PathEscape(doc.Run), Body: p}
	if doc.State == string(orchestrator.RunRunning) {
		d.Refresh = runRefresh
	}
	s.page(w, r, http.StatusOK, "run.html", d)
	return nil
}

func (s *site) runJSON(w http.ResponseWriter, r *http.Request) error {
	doc, _, err := s.run(r.Context(), r.PathValue("id"))
	if err != nil {
		return err
	}
	s.sendJSON(w, r, http.StatusOK, doc)
	return nil
}

// fillConsole finds the console: the live one while the run is under way here,
// else the kept one.
func (s *site) fillConsole(ctx context.Context, p *runPage, run orchestrator.Run) error {
	if run.State == orchestrator.RunRunning {
		if c, ok := s.live.Console(run.ID); ok {
			p.Live, p.Console = true, visibleText(c.Tail(pageConsole))
			return nil
		}
		p.ConsoleNote = "This run is under way in another process: its console is kept here when it has ended."
		return nil
	}
	kept, err := s.keptConsole(ctx, run)
	if errors.Is(err, fs.ErrNotExist) {
		p.ConsoleNote = "No console was kept of this run."
		return nil
	}
	if err != nil {
		return err
	}
	defer kept.Close()
	text, err := tailOf(kept, pageConsole)
	if err != nil {
		// A damaged log is worth a word, but not the rest of the page.
		s.log.Error("console", "run", run.ID, "err", err)
		p.ConsoleNote = "The kept console cannot be read; the server's log says why."
		return nil
	}
	p.Console = visibleText(text)
	return nil
}

func (s *site) keptConsole(ctx context.Context, run orchestrator.Run) (io.ReadCloser, error) {
	if s.opt.Console == nil {
		return nil, fmt.Errorf("not kept here: %w", fs.ErrNotExist)
	}
	return s.opt.Console(ctx, run)
}

// tailOf reads at most maxKept bytes and returns the last n of them, from the
// start of a line.
func tailOf(r io.Reader, n int) (string, error) {
	var tail []byte
	buf := make([]byte, 32<<10)
	lim := io.LimitReader(r, maxKept)
	cut := false
	for {
		k, err := lim.Read(buf)
		tail = append(tail, buf[:k]...)
		if len(tail) > 4*n {
			tail, cut = append(tail[:0], tail[len(tail)-n:]...), true
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			return "", err
		}
	}
	if len(tail) > n {
		tail, cut = tail[len(tail)-n:], true
	}
	text := string(tail)
	if cut {
		if _, rest, ok := strings.Cut(text, "\n"); ok {
			text = rest
		}
	}
	return text, nil
}

func tally(results []api.Result) string {
	n := map[string]int{}
	for _, r := range results {
		n[r.Status]++
	}
	var parts []string
	for _, st := range suites.Statuses {
		if k := n[st.String()]; k > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", k, word(st.String())))
		}
	}
	return strings.Join(parts, ", ")
}

// facts lists what is known of the run; what is not known yet has no line.
func facts(d api.Run) []fact {
	all := []fact{
		{Name: "Commit", Value: short(d.Commit), Full: d.Commit, Mono: true},
		{Name: "Target", Value: d.Target},
		{Name: "Machine", Value: d.Machine},
		{Name: "Layer", Value: d.Layer},
		{Name: "Image", Value: short(d.Image), Full: d.Image, Mono: true},
		{Name: "Build", Value: short(d.Build), Full: d.Build, Mono: true},
		{Name: "Kernel", Value: d.Kernel},
		{Name: "Accelerator", Value: d.Accel},
		{Name: "Monitor", Value: d.Monitor},
		{Name: "Boot time"},
		{Name: "Seed", Value: strconv.FormatUint(d.Seed, 10)},
		{Name: "Repeat", Value: strconv.Itoa(d.Repeat)},
		{Name: "Attempt", Value: strconv.Itoa(d.Attempt)},
		{Name: "Host", Value: d.Host},
		{Name: "Boot id", Value: short(d.BootID), Full: d.BootID, Mono: true},
	}
	var known []fact
	for _, f := range all {
		if f.Name == "Boot time" && d.BootTimeS > 0 {
			f.Value = duration(d.BootTimeS)
		}
		if f.Value != "" {
			known = append(known, f)
		}
	}
	return known
}
