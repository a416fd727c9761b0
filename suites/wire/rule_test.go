package wire

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestRulesAsText(t *testing.T) {
	const text = `[
	{"name": "second", "match": {"dir": "from_guest", "stream": 1, "bytes": {"from": 14480, "to": 15928}, "transmissions": [2]}, "do": {"drop": true}},
	{"match": {"dir": "to_guest", "set": "SYN|ACK"}, "do": {"delay": {"fixed": "20ms", "jitter": "1ms"}, "duplicate": {"copies": 1, "gap": "1ms"}}, "last": true},
	{"match": {"proto": "udp"}, "do": {"hold": {"until": {"proto": "arp"}, "limit": "1s"}}},
	{"name": "slow", "do": {"bottleneck": {"rate": 10000000, "delay": "10ms"}}}
]`
	rules, err := ParseRules([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{
		"second: drop of tcp, from guest, stream 1, bytes 14480-15928, transmissions 2",
		"delay by 20ms ± 1ms uniform, send 1 more after 1ms each of tcp, to guest, with SYN|ACK; no rule after it",
		"hold until there is a frame [arp], for 1s at most of udp",
		"slow: pass through 10 Mbit/s and 10ms, with a queue of 65536 bytes",
	} {
		if got := rules[i].String(); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
	b, err := json.Marshal(rules)
	if err != nil {
		t.Fatal(err)
	}
	again, err := ParseRules(b)
	if diff := cmp.Diff(rules, again); err != nil || diff != "" {
		t.Error(err, diff)
	}
}

func TestCheckRules(t *testing.T) {
	drop := Action{Drop: true}
	for want, r := range map[string]Rule{
		"it does nothing":       {},
		"anything else":         {Do: Action{Drop: true, CE: true}},
		`proto "sctp"`:          {Match: Match{Proto: "sctp"}, Do: drop},
		"are of TCP":            {Match: Match{Proto: "udp", Stream: 1}, Do: drop},
		"no frame has one":      {Match: Match{MinLength: 9, MaxLength: 8}, Do: drop},
		"that is never":         {Match: Match{After: Second, Before: Second}, Do: drop},
		"bytes 5 to 5":          {Match: Match{Bytes: Range{5, 5}}, Do: drop},
		"set and clear at once": {Match: Match{Set: SYN, Clear: SYN | ACK}, Do: drop},
		"data and no_data":      {Match: Match{Data: true, NoData: true}, Do: drop},
		"counted from 1":        {Match: Match{Segment: []int{-1}}, Do: drop},
		"probability 1.5":       {Match: Match{Probability: 1.5}, Do: drop},
		"nic 64":                {Match: Match{NIC: func() *int { n := 64; return &n }()}, Do: drop},
		"truncate 13":           {Do: Action{Truncate: 13}},
		"corrupt: want":         {Do: Action{Corrupt: &Corrupt{}}},
		"delay 2h0m0s":          {Do: Action{Delay: &Delay{Fixed: 7200 * Second}}},
		"shape":                 {Do: Action{Delay: &Delay{Shape: "square"}}},
		"bottleneck of 1 bit/s": {Do: Action{Bottleneck: &Bottleneck{Rate: 1}}},
		"limit of the hold":     {Do: Action{Hold: &Hold{Frames: 1}}},
		"hold: want frames":     {Do: Action{Hold: &Hold{Limit: Second}}},
		"hold, until: proto":    {Do: Action{Hold: &Hold{Limit: Second, Until: &Match{Proto: "x"}}}},
		"duplicate: 0 copies":   {Do: Action{Duplicate: &Duplicate{}}},
		"not beginning with":    {Name: Own + "x", Do: drop},
		"commas":                {Name: "a, b", Do: drop},
	} {
		if err := CheckRules([]Rule{r}); err == nil || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), "rule 1") {
			t.Errorf("want %q, got %v", want, err)
		}
	}
	if err := CheckRules([]Rule{{Name: "a", Do: drop}, {Name: "a", Do: drop}}); err == nil || !strings.Contains(err.Error(), "called") {
		t.Error(err)
	}
	for _, text := range []string{`[{"do": {"dorp": true}}]`, `[{"do": {"delay": {"fixed": "20"}}}]`, `[{"match": {"dir": "up"}, "do": {"drop": true}}]`, `[{"match": {"set": "SIN"}, "do": {"drop": true}}]`} {
		if _, err := ParseRules([]byte(text)); err == nil {
			t.Errorf("%s: taken", text)
		}
	}
}
