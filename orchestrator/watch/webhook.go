package watch

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"regexp"
	"strings"

	"github.com/google/go-github/v60/github"
)

// maxDelivery bounds a delivery's bytes. GitHub sends up to 25 MB, for pushes of
// thousands of commits; losing such a one costs no more than waiting for the next
// poll, and strangers can make us read so much.
const maxDelivery = 4 << 20

// sha256Signature is the header's form. go-github would also take SHA-1.
var sha256Signature = regexp.MustCompile(`^sha256=[0-9a-f]{64}$`)

// Webhook takes GitHub's push events. onPush hears of each push to a branch: the
// repository as "owner/name", the branch and its new head, or an empty head when
// the branch was deleted. It must return quickly and bear the same push twice
// (GitHub delivers again, and so can whoever overheard a delivery): it is a reason
// to look, not news. An empty secret refuses every delivery.
//
// Answers: 202 taken, 200 to a ping, 204 nothing for us; 400 malformed, 401 not
// signed with the secret, 405 not a POST, 413 too large, 415 neither JSON nor a
// form.
func Webhook(secret []byte, onPush func(repo, branch, head string)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost {
			w.Header().Set("Allow", http.MethodPost)
			http.Error(w, "deliver by POST", http.StatusMethodNotAllowed)
			return
		}
		payload, status, problem := verified(w, r, secret)
		if problem != "" {
			http.Error(w, problem, status)
			return
		}
		switch github.WebHookType(r) {
		case "ping":
			_, _ = w.Write([]byte("pong\n"))
		case "push":
			repo, branch, head, problem := readPush(payload)
			switch {
			case problem != "":
				http.Error(w, problem, http.StatusBadRequest)
			case branch == "":
				w.WriteHeader(http.StatusNoContent) // a tag
			default:
				onPush(repo, branch, head)
				w.WriteHeader(http.StatusAccepted)
			}
		case "":
			http.Error(w, "no X-GitHub-Event header", http.StatusBadRequest)
		default:
			w.WriteHeader(http.StatusNoContent)
		}
	})
}

// verified reads a delivery and checks its signature, in constant time. What
// cannot be signed is not read at all.
func verified(w http.ResponseWriter, r *http.Request, secret []byte) (payload []byte, status int, problem string) {
	if len(secret) == 0 {
		return nil, http.StatusUnauthorized, "no secret is configured: deliveries are refused"
	}
	if !sha256Signature.MatchString(r.Header.Get(github.SHA256SignatureHeader)) {
		return nil, http.StatusUnauthorized, "no X-Hub-Signature-256 header: set the webhook's secret"
	}
	if r.ContentLength > maxDelivery {
		return nil, http.StatusRequestEntityTooLarge, "delivery is too large"
	}
	kind, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";")
	if kind = strings.TrimSpace(kind); kind != "application/json" && kind != "application/x-www-form-urlencoded" {
		return nil, http.StatusUnsupportedMediaType, "deliver application/json"
	}
	body := &keepError{r: http.MaxBytesReader(w, r.Body, maxDelivery)}
	r.Body = body
	payload, err := github.ValidatePayload(r, secret)
	switch {
	case err == nil:
		return payload, 0, ""
	case isTooLarge(body.err):
		return nil, http.StatusRequestEntityTooLarge, "delivery is too large"
	case body.err != nil:
		return nil, http.StatusBadRequest, "delivery ended early"
	}
	return nil, http.StatusUnauthorized, "the signature is not of this delivery and our secret"
}

// keepError remembers why a body could not be read to its end.
type keepError struct {
	r   io.ReadCloser
	err error
}

func (k *keepError) Read(p []byte) (int, error) {
	n, err := k.r.Read(p)
	if err != nil && err != io.EOF {
		k.err = err
	}
	return n, err
}

func (k *keepError) Close() error { return k.r.Close() }

func isTooLarge(err error) bool {
	_, ok := errors.AsType[*http.MaxBytesError](err)
	return ok
}

// readPush reads a push event. branch is empty for a push of something else.
func readPush(payload []byte) (repo, branch, head, problem string) {
	var push github.PushEvent
	if err := json.Unmarshal(payload, &push); err != nil {
		return "", "", "", "the push event is not JSON of the documented form"
	}
	repo, head = push.GetRepo().GetFullName(), push.GetAfter()
	if !repositoryName.MatchString(repo) || !isHash(head) || push.GetRef() == "" {
		return "", "", "", "the push event lacks its repository, ref or new head"
	}
	branch, _ = strings.CutPrefix(push.GetRef(), headsPrefix)
	if branch == push.GetRef() {
		return repo, "", head, ""
	}
	if strings.Trim(head, "0") == "" {
		head = ""
	}
	return repo, branch, head, ""
}
