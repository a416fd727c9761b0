package artifacts

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const (
	someCommit  = "0123456789abcdef0123456789abcdef01234567"
	otherCommit = "fedcba9876543210fedcba9876543210fedcba98"
)

func TestPlaceURL(t *testing.T) {
	for _, tt := range []struct {
		p          Place
		name, want string // want: URL, or what the error says
	}{
		{Place{"https://a.example", "main", someCommit, "amd64"}, Kernel, "https://a.example/snapshot/main/" + someCommit + "/amd64/amd64/kernel.txz"},
		{Place{"https://a.example/x/", "stable/14", someCommit, "arm64"}, TestImage, "https://a.example/x/snapshot/stable-14/" + someCommit + "/arm64/aarch64/disk-test.img.zst"},
		{Place{"ftp://a.example", "main", someCommit, "amd64"}, Kernel, "base"},
		{Place{"https://a.example?x=1", "main", someCommit, "amd64"}, Kernel, "base"},
		{Place{"", "main", someCommit, "amd64"}, Kernel, "base"},
		{Place{"https://a.example", "..", someCommit, "amd64"}, Kernel, "branch"},
		{Place{"https://a.example", "", someCommit, "amd64"}, Kernel, "branch"},
		{Place{"https://a.example", "main", "0123456", "amd64"}, Kernel, "commit"},
		{Place{"https://a.example", "main", someCommit, "riscv64"}, Kernel, "architecture"},
		{Place{"https://a.example", "main", someCommit, "amd64"}, "../kernel.txz", "artifact"},
	} {
		got, err := tt.p.URL(tt.name)
		if err != nil {
			got = err.Error()
		}
		if got != tt.want && (err == nil || !strings.HasPrefix(got, tt.want)) {
			t.Errorf("%+v: %q, want %q", tt.p, got, tt.want)
		}
	}
}

func TestParseChecksums(t *testing.T) {
	a, b := strings.Repeat("a", 64), strings.Repeat("b", 64)
	for _, tt := range []struct {
		name, text string
		want       map[string]string
	}{
		{"manifest", "base.txz\t" + a + "\t27000\tbase\t\"Base system (MANDATORY)\"\ton\nkernel-dbg.txz\t" + b + "\t900\tkernel-dbg\t\"\"\ton\n",
			map[string]string{"base.txz": a, "kernel-dbg.txz": b}},
		{"bsd", "SHA256 (FreeBSD-14.0-RELEASE-amd64.raw.xz) = " + strings.ToUpper(a) + "\r\nSHA512 (x) = 00\n",
			map[string]string{"FreeBSD-14.0-RELEASE-amd64.raw.xz": a}},
		{"twice the same", "SHA256 (x) = " + a + "\nSHA256 (x) = " + a + "\n", map[string]string{"x": a}},
		{"twice another", "SHA256 (x) = " + a + "\nSHA256 (x) = " + b + "\n", nil},
		{"short digest", "SHA256 (x) = " + a[1:] + "\n", nil},
		{"a page", "<html><body>Sign in</body></html>", nil},
		{"empty", "", nil},
		{"a long line", strings.Repeat("x", 1<<20), nil},
	} {
		got, err := parseChecksums(tt.text)
		if (err == nil) != (tt.want != nil) || !cmp.Equal(got, tt.want) {
			t.Errorf("%s: %v, %v; want %v", tt.name, got, err, tt.want)
		}
	}
}

func TestParseSpan(t *testing.T) {
	for s, want := range map[string]span{
		"bytes 5-9/10": {5, 9, 10},
		"bytes 0-0/*":  {0, 0, -1},
		"bytes */10":   {-1, -1, 10},
		"bytes 5-9/9":  {5, 9, -9}, // -9: refused
		"bytes 9-5/10": {9, 5, -9},
		"bytes 5-/10":  {0, 0, -9},
		"items 5-9/10": {0, 0, -9},
		"":             {0, 0, -9},
		"bytes 99999999999999999999-99999999999999999999/*": {0, 0, -9},
	} {
		got, ok := parseSpan(s)
		if ok != (want.total != -9) || ok && got != want {
			t.Errorf("%q: %v, %v; want %v", s, got, ok, want)
		}
	}
}

func TestBackoff(t *testing.T) {
	for _, tt := range []struct {
		idle   int
		after  time.Duration
		chance float64
		want   time.Duration
	}{
		{1, 0, 0, time.Second},
		{2, 0, 0, 2 * time.Second},
		{4, 0, 0, 8 * time.Second},
		{4, 0, 1, 4 * time.Second},
		{99, 0, 0, maxBackoff},
		{3, 7 * time.Second, 1, 7 * time.Second},
	} {
		if got := backoff(tt.idle, time.Second, tt.after, tt.chance); got != tt.want {
			t.Errorf("backoff(%d, 1s, %v, %v) = %v, want %v", tt.idle, tt.after, tt.chance, got, tt.want)
		}
	}
}

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)
	for s, want := range map[string]time.Duration{
		"120": 2 * time.Minute, "": 0, "-1": 0, "soon": 0,
		"Mon, 01 Jun 2026 12:00:30 GMT": 30 * time.Second,
		"Mon, 01 Jun 2026 11:00:00 GMT": 0,
	} {
		if got := retryAfter(http.Header{"Retry-After": {s}}, now); got != want {
			t.Errorf("%q: %v, want %v", s, got, want)
		}
	}
}

func TestAgain(t *testing.T) {
	for err, want := range map[error]bool{
		&statusError{code: 500}: true, &statusError{code: 503}: true, &statusError{code: 429}: true, &statusError{code: 408}: true,
		&statusError{code: 501}: false, &statusError{code: 404}: false, &statusError{code: 410}: false, &statusError{code: 403}: false,
		&localError{errNoSpace}: false, fmt.Errorf("x: %w", errRedirect): false, errTooLarge: false,
		errStalled: true, errCut: true, errors.New("connection reset by peer"): true,
		&net.DNSError{IsNotFound: true}: false, &net.DNSError{IsTimeout: true}: true,
	} {
		if got := again(err); got != want {
			t.Errorf("%v: %v, want %v", err, got, want)
		}
	}
}
