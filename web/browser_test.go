package web_test

import (
	"context"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/headwatch/headwatch/suites"
	"github.com/headwatch/headwatch/web"
)

var shots = flag.String("shots", "", "folder for pictures of the pages, taken in a browser")

// listen serves a handler as the daemon does and returns its address.
func listen(t testing.TB, h http.Handler, adjust ...func(*http.Server)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	srv := web.NewServer(ctx, h)
	for _, f := range adjust {
		f(srv)
	}
	done := make(chan error, 1)
	go func() { done <- srv.Serve(l) }()
	t.Cleanup(func() {
		cancel()
		end, stop := context.WithTimeout(context.Background(), 10*time.Second)
		defer stop()
		if err := srv.Shutdown(end); err != nil {
			t.Errorf("streams did not end with their context: %v", err)
		}
		<-done
	})
	return "http://" + l.Addr().String()
}

// browser starts a headless chromium, or skips the test.
func browser(t *testing.T, flags ...chromedp.ExecAllocatorOption) context.Context {
	t.Helper()
	if testing.Short() {
		t.Skip("a browser takes seconds to start, and -short is set")
	}
	path, err := exec.LookPath("chromium")
	if err != nil {
		t.Skip("chromium is not installed")
	}
	opts := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.UserDataDir(t.TempDir()), chromedp.Flag("disable-background-networking", true))
	ctx, cancel := chromedp.NewExecAllocator(context.Background(), append(opts, flags...)...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	if err := chromedp.Do(ctx); err != nil { // starts it, outside of any time limit
		t.Fatal(err)
	}
	t.Cleanup(func() { chromedp.Cancel(ctx) }) // waits for the process
	limited, cancel := context.WithTimeout(ctx, time.Minute)
	t.Cleanup(cancel)
	return limited
}

// TestBrowser walks from the overview to a run that is under way and watches it
// say something, end a case and end itself.
func TestBrowser(t *testing.T) {
	ctx := browser(t)
	m := seeded(t)
	log := newLog("Copyright (c) 1992-2026 The FreeBSD Project.\n")
	defer log.Close()
	base := listen(t, web.Handler(m, consoles{m.liveRun: log}, web.Options{Now: now, Unknown: unknown}))
	until := func(condition string) chromedp.Action[chromedp.Void] { return chromedp.Poll[chromedp.Void](condition) }
	do := func(steps ...chromedp.Action[chromedp.Void]) {
		t.Helper()
		if err := chromedp.Do(ctx, steps...); err != nil {
			t.Fatal(err)
		}
	}
	text := func(selector string) string {
		t.Helper()
		s, err := chromedp.Run(ctx, chromedp.TextContent(chromedp.CSS(selector)))
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	do(chromedp.Navigate(base + "/"))
	if who := text(".reg:last-child .who"); !strings.Contains(who, "account for SACKed bytes") {
		t.Errorf("the culprit reads %q", who)
	}
	link := chromedp.Click(chromedp.CSS(`#running a[href="/run/` + m.liveRun + `"]`))
	if _, err := chromedp.RunResponse(ctx, link); err != nil {
		t.Fatal(err)
	}
	do(until(`document.getElementById("console-state").textContent === "live"`))
	io.WriteString(log, "\x1b[1;31mlo0: link state <b id=pwned>changed</b>\x1b[0m\r\n")
	do(until(`document.getElementById("console").textContent.includes("changed</b>")`))
	if said := text("#console"); said != "Copyright (c) 1992-2026 The FreeBSD Project.\nlo0: link state <b id=pwned>changed</b>\n" {
		t.Errorf("the console reads %q", said)
	}
	if n, err := chromedp.Run(ctx, chromedp.Evaluate[int](`document.querySelectorAll("#pwned").length`)); err != nil || n != 0 {
		t.Errorf("guest text became %d elements (%v)", n, err)
	}
	m.must(m.db.AddResult(t.Context(), m.liveRun, suites.Result{Case: "tcp/bulk", Status: suites.Passed, Duration: time.Second}))
	do(until(`document.getElementById("results").textContent.includes("tcp/bulk")`))
	log.Close()
	do(until(`document.getElementById("console-state").textContent === "ended"`))
}

// TestPictures takes pictures for people to look at; it runs when asked to.
func TestPictures(t *testing.T) {
	if *shots == "" {
		t.Skip("no -shots folder is given")
	}
	m := seeded(t)
	log := newLog(strings.Repeat("vtnet0: <VirtIO Networking Adapter> on virtio_pci1\n", 20))
	log.Close()
	base := listen(t, web.Handler(m, consoles{m.liveRun: log}, web.Options{Now: now, Unknown: unknown, Console: kept(bootText)}))
	pages := map[string]string{
		"overview": "/", "run": "/run/" + m.failedRun, "running": "/run/" + m.liveRun, "broken": "/run/" + m.rigRun,
		"commit": "/commit/" + m.commits[3].Hash, "regression": "/regression/1", "crashes": "/crashes", "crash": "/crash/" + lossCrash.Signature, "missing": "/run/nosuchrun",
	}
	for scheme, theme := range []string{"dark", "light"} {
		ctx := browser(t, chromedp.Flag("blink-settings", fmt.Sprintf("preferredColorScheme=%d", scheme)))
		for name, path := range pages {
			for _, width := range []int64{1280, 390} {
				out := filepath.Join(*shots, fmt.Sprintf("%s-%d-%s.png", name, width, theme))
				err := chromedp.Do(ctx, chromedp.EmulateViewport(width, 900), chromedp.Navigate(base+path))
				if err != nil {
					t.Fatal(err)
				}
				png, err := chromedp.Run(ctx, chromedp.FullScreenshot(100))
				if err == nil {
					err = os.WriteFile(out, png, 0o644)
				}
				if err != nil {
					t.Errorf("%s: %v", out, err)
				}
			}
		}
	}
}

const bootText = "---<<BOOT>>---\nCopyright (c) 1992-2026 The FreeBSD Project.\nFreeBSD is a registered trademark of The FreeBSD Foundation.\n" +
	"FreeBSD 15.0-CURRENT #0 main-n294407: amd64\nVT: init without driver.\nCPU: QEMU TCG CPU version 2.5+ (2611.20-MHz K8-class CPU)\n" +
	"real memory  = 536870912 (512 MB)\navail memory = 492773376 (469 MB)\nrandom: unblocking device.\n\x1b[32mStarting the agent\x1b[0m\n" +
	"panic: sbsndptr_adv: sbsndmbuf mismatch\ncpuid = 1\nKDB: enter: panic\n"
