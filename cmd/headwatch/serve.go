package main

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"time"

	"github.com/robfig/cron/v3"
	"github.com/spf13/cobra"

	"github.com/headwatch/headwatch/web"
)

// defaultListen is the dashboard's address unless another is given. It is a
// loopback one: reading needs no password yet.
const defaultListen = "127.0.0.1:8470"

func serveCommand(a *app) *cobra.Command {
	var listen, secretFile string
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "daemon: watcher, scheduler, queue, dashboard and local worker",
		Long: `Follows the upstreams that the schedules name, tests the newest commit of each
when a schedule says so (every commit where the pipeline says "every"), and
serves the dashboard.

Branches are polled; GITHUB_TOKEN in the environment, when set, is used for that.
To hear of a push at once, put a secret of at least 16 bytes into a file and give
--webhook-secret FILE. On GitHub add a webhook to the repository with that secret,
the content type application/json and the event "push", whose payload URL leads to
/webhook of this server. Deliveries that are not signed with the secret are refused;
without a secret there is no webhook.`,
		Example: `  (umask 077; openssl rand -hex 32 >webhook.secret)
  headwatch serve --webhook-secret webhook.secret`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.serve(cmd.Context(), listen, secretFile)
		},
	}
	cmd.Flags().StringVar(&listen, "listen", defaultListen, "`address` of the dashboard")
	cmd.Flags().StringVar(&secretFile, "webhook-secret", "", "`file` that holds the secret of GitHub's webhook")
	return cmd
}

func (a *app) serve(ctx context.Context, listen, secretFile string) error {
	file, err := a.loadPipeline()
	if err != nil {
		return err
	}
	dir, err := a.stateDir()
	if err != nil {
		return err
	}
	if err := checkListen(listen); err != nil {
		return err
	}
	secret, err := readSecret(secretFile)
	if err != nil {
		return err
	}
	upstreams := slices.Sorted(maps.Keys(scheduled(file)))
	if err := preflight(ctx, checkGuests(file, upstreams)); err != nil {
		return rig(err)
	}
	log := a.logger(slog.LevelInfo)
	r, err := a.openRig(ctx, dir, "serve", file, log)
	if err != nil {
		return err
	}
	defer r.close()
	pollers, err := r.pollers(ctx, upstreams)
	if err != nil {
		return rig(err)
	}
	hook := newHook(r, upstreams, secret)
	board, err := startDashboard(ctx, r, listen, hook.routes()...)
	if err != nil {
		return rig(err)
	}
	defer board.stop()
	clock, err := r.schedules(ctx)
	if err != nil {
		return rig(err)
	}
	clock.Start()
	defer func() { <-clock.Stop().Done() }()
	log.Info("serving", "dashboard", board.url, "state", dir, "upstreams", upstreams)
	err = r.withWorker(ctx, func(ctx context.Context) error {
		done := hook.listen(ctx)
		defer func() { <-done }()
		return r.conductor.Follow(ctx, pollers)
	})
	if ctx.Err() != nil {
		return nil // asked to stop
	}
	return rig(err)
}

// schedules starts a pass over its upstreams when a schedule's time has come.
func (r *rigging) schedules(ctx context.Context) (*cron.Cron, error) {
	c := cron.New()
	for _, s := range r.file.Schedules {
		_, err := c.AddFunc(s.Cron, func() {
			for _, u := range s.Upstreams {
				if err := r.conductor.SelectNewest(ctx, u, top(s)); err != nil && ctx.Err() == nil {
					r.log.Error("schedule could not select a commit", "schedule", s.Name, "upstream", u, "err", err)
				}
			}
			r.conductor.Wake()
		})
		if err != nil {
			return nil, fmt.Errorf("schedule %s: %w", s.Name, err)
		}
	}
	return c, nil
}

// dashboard is the web server of a process.
type dashboard struct {
	url    string
	server *http.Server
	cancel context.CancelFunc // ends the streams
	done   chan error
}

// route is a path with a handler of its own beside the dashboard.
type route struct {
	path    string
	handler http.Handler
}

// checkListen refuses what is no address to listen at. Whether it can be had is seen
// when it is taken.
func checkListen(listen string) error {
	_, port, err := net.SplitHostPort(listen)
	if err == nil {
		_, err = net.LookupPort("tcp", port)
	}
	if err != nil {
		return usagef("--listen: %w; want HOST:PORT, such as %s", err, defaultListen)
	}
	return nil
}

// startDashboard serves until stop. An empty address means the default one, or
// any free port when that is taken.
func startDashboard(ctx context.Context, r *rigging, listen string, extra ...route) (*dashboard, error) {
	l, err := net.Listen("tcp", or(listen, defaultListen))
	if err != nil && listen == "" {
		l, err = net.Listen("tcp", "127.0.0.1:0")
	}
	if err != nil {
		return nil, fmt.Errorf("dashboard: %w; give another --listen ADDRESS", err)
	}
	mux := http.NewServeMux()
	mux.Handle("/", web.Handler(reader{r.db}, r.consoles, web.Options{Flags: r.flags, Unknown: isUnknown, Console: keptConsole(r.dir), Artifact: keptArtifact(r.dir), Log: r.log}))
	for _, x := range extra {
		mux.Handle(x.path, x.handler)
	}
	ctx, cancel := context.WithCancel(ctx)
	d := &dashboard{url: "http://" + l.Addr().String() + "/", server: web.NewServer(ctx, mux), cancel: cancel, done: make(chan error, 1)}
	d.server.ErrorLog = slog.NewLogLogger(r.log.Handler(), slog.LevelDebug)
	go func() { d.done <- d.server.Serve(l) }()
	return d, r.lock.announce(d.url)
}

// stop ends the server and waits for it; readers of live consoles are cut off.
func (d *dashboard) stop() {
	d.cancel()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	if err := d.server.Shutdown(ctx); err != nil {
		d.server.Close()
	}
	<-d.done
}

func or(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

func keptPath(dir, name string) string { return filepath.Join(dir, filepath.FromSlash(name)) }
