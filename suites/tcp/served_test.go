package tcp

import (
	"testing"

	"github.com/headwatch/headwatch/suites"
	"github.com/headwatch/headwatch/suites/tcp/guest"
)

func TestJudgeRounds(t *testing.T) {
	for _, c := range []struct {
		r      guest.Rounds
		status suites.Status
		reason string
	}{
		{guest.Rounds{Done: 10}, suites.Passed, ""},
		{guest.Rounds{Done: 9, Errnos: map[string]int{"ECONNRESET": 1}}, suites.Failed, "of 10 connections some ended with an error: map[ECONNRESET:1]"},
		{guest.Rounds{Done: 9, Stalled: 1}, suites.Failed, "on 1 of 10 connections nothing moved for 10s"},
		{guest.Rounds{Done: 9}, suites.Broken, "the agent made 9 of 10 rounds"},
	} {
		if s, reason := suites.Classify(judgeRounds(c.r, 10)); s != c.status || reason != c.reason {
			t.Errorf("%+v: %v: %s", c.r, s, reason)
		}
	}
}
