package watch

import (
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
)

const secret = "open sesame"

func sign(body, secret string) string {
	mac := hmac.New(sha256.New, []byte(secret))
	io.WriteString(mac, body)
	return "sha256=" + hex.EncodeToString(mac.Sum(nil))
}

func push(ref, head string) string {
	return fmt.Sprintf(`{"ref":%q,"after":%q,"repository":{"full_name":"freebsd/freebsd-src"}}`, ref, head)
}

// delivery is a request as GitHub makes it; each test changes a part.
type delivery struct {
	method, event, kind, body string
	header                    map[string]string
	signature                 string // empty: the right one
}

func (d delivery) request() *http.Request {
	r := httptest.NewRequest(d.method, "/webhook", strings.NewReader(d.body))
	r.Header.Set("Content-Type", d.kind)
	r.Header.Set("X-GitHub-Event", d.event)
	if d.signature == "" {
		d.signature = sign(d.body, secret)
	}
	r.Header.Set("X-Hub-Signature-256", d.signature)
	for k, v := range d.header {
		r.Header.Set(k, v)
	}
	return r
}

func TestWebhook(t *testing.T) {
	head := strings.Repeat("1a", 20)
	taken := "freebsd/freebsd-src stable/14 " + head
	good := delivery{method: "POST", event: "push", kind: "application/json", body: push("refs/heads/stable/14", head)}
	form := "payload=" + url.QueryEscape(good.body)
	legacy := hmac.New(sha1.New, []byte(secret))
	io.WriteString(legacy, good.body)
	sha1Signature := "sha1=" + hex.EncodeToString(legacy.Sum(nil))
	for name, c := range map[string]struct {
		change func(*delivery)
		status int
		heard  string
	}{
		"push":                  {func(*delivery) {}, 202, taken},
		"with a charset":        {func(d *delivery) { d.kind += "; charset=utf-8" }, 202, taken},
		"as a form":             {func(d *delivery) { d.kind, d.body = "application/x-www-form-urlencoded", form }, 202, taken},
		"branch deleted":        {func(d *delivery) { d.body = push("refs/heads/x", strings.Repeat("0", 40)) }, 202, "freebsd/freebsd-src x "},
		"tag":                   {func(d *delivery) { d.body = push("refs/tags/v1", head) }, 204, ""},
		"ping":                  {func(d *delivery) { d.event, d.body = "ping", `{"zen":"x"}` }, 200, ""},
		"other event":           {func(d *delivery) { d.event = "issues" }, 204, ""},
		"no event":              {func(d *delivery) { d.event = "" }, 400, ""},
		"not a POST":            {func(d *delivery) { d.method = "GET" }, 405, ""},
		"other secret":          {func(d *delivery) { d.signature = sign(d.body, "x") }, 401, ""},
		"no signature":          {func(d *delivery) { d.signature = " " }, 401, ""},
		"SHA-1 in its place":    {func(d *delivery) { d.signature = sha1Signature }, 401, ""},
		"SHA-1 beside nothing":  {func(d *delivery) { d.signature, d.header = " ", map[string]string{"X-Hub-Signature": sha1Signature} }, 401, ""},
		"changed on the way":    {func(d *delivery) { d.signature = sign(d.body, secret); d.body += " " }, 401, ""},
		"ping unsigned":         {func(d *delivery) { d.event, d.signature = "ping", sign(d.body, "") }, 401, ""},
		"neither JSON nor form": {func(d *delivery) { d.kind = "text/plain" }, 415, ""},
		"broken JSON":           {func(d *delivery) { d.body = `{"ref":` }, 400, ""},
		"no repository":         {func(d *delivery) { d.body = `{"ref":"refs/heads/x","after":"` + head + `"}` }, 400, ""},
		"odd head":              {func(d *delivery) { d.body = push("refs/heads/x", "--all") }, 400, ""},
		"too large":             {func(d *delivery) { d.body = strings.Repeat(" ", maxDelivery+1) }, 413, ""},
	} {
		t.Run(name, func(t *testing.T) {
			heard := ""
			h := Webhook([]byte(secret), func(repo, branch, head string) { heard += repo + " " + branch + " " + head })
			d := good
			c.change(&d)
			w := httptest.NewRecorder()
			h.ServeHTTP(w, d.request())
			if w.Code != c.status || heard != c.heard {
				t.Errorf("status %d %q, heard %q", w.Code, w.Body, heard)
			}
		})
	}
}

func TestWebhookBodies(t *testing.T) {
	d := delivery{method: "POST", event: "push", kind: "application/json", body: push("refs/heads/x", strings.Repeat("1a", 20))}
	h := Webhook([]byte(secret), func(string, string, string) { t.Error("onPush was called") })
	for status, body := range map[int]io.Reader{
		400: io.MultiReader(strings.NewReader(d.body[:9]), brokenPipe{}),
		413: io.LimitReader(spaces{}, maxDelivery+1), // of a length that is not told
	} {
		r := d.request()
		r.Body, r.ContentLength = io.NopCloser(body), -1
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != status {
			t.Errorf("status %d, wanted %d", w.Code, status)
		}
	}
	for _, none := range [][]byte{nil, {}} {
		d.signature = sign(d.body, "")
		w := httptest.NewRecorder()
		Webhook(none, func(string, string, string) { t.Error("onPush was called") }).ServeHTTP(w, d.request())
		if w.Code != 401 || !strings.Contains(w.Body.String(), "no secret is configured") {
			t.Errorf("%d %s", w.Code, w.Body)
		}
	}
}

type brokenPipe struct{}

func (brokenPipe) Read([]byte) (int, error) { return 0, errors.New("connection reset") }

type spaces struct{}

func (spaces) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = ' '
	}
	return len(p), nil
}
