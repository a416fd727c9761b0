package watch

import (
	"net/http"
	"strconv"
	"time"
)

// secondaryWait is what GitHub asks for when it names no time.
const secondaryWait = time.Minute

// holdUntil reads from an answer of GitHub until when it wants no question; the
// zero time means any time. secondary says that the body named a secondary limit.
// Times on GitHub's clock are taken relative to the answer's Date, so that ours
// may be wrong.
// https://docs.github.com/en/rest/using-the-rest-api/rate-limits-for-the-rest-api
func holdUntil(status int, h http.Header, secondary bool, now time.Time) time.Time {
	refused := status == http.StatusForbidden || status == http.StatusTooManyRequests
	if after, err := strconv.ParseInt(h.Get("Retry-After"), 10, 32); err == nil && after >= 0 && (refused || status >= 500) {
		return now.Add(time.Duration(after) * time.Second)
	}
	reset, err := strconv.ParseInt(h.Get("X-RateLimit-Reset"), 10, 64)
	if h.Get("X-RateLimit-Remaining") == "0" && err == nil && reset > 0 {
		server := now
		if date, err := http.ParseTime(h.Get("Date")); err == nil {
			server = date
		}
		// A second more: the reset is told in whole seconds.
		if left := time.Unix(reset, 0).Sub(server) + time.Second; left > 0 {
			return now.Add(left)
		}
		return time.Time{}
	}
	if secondary || status == http.StatusTooManyRequests {
		return now.Add(secondaryWait)
	}
	return time.Time{}
}
