package wire

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Limits of a rule's numbers.
const (
	maxDelay  = 3600 * Second
	maxCopies = 1000
	maxRules  = 1000
	maxNIC    = 63
)

// ParseRules reads a JSON array of rules and checks them.
func ParseRules(b []byte) ([]Rule, error) {
	var rules []Rule
	dec := json.NewDecoder(strings.NewReader(string(b)))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&rules); err != nil {
		return nil, fmt.Errorf("rules of a wire: %w", err)
	}
	return rules, CheckRules(rules)
}

// CheckRules says what is wrong with rules, each mistake on a line of its own.
func CheckRules(rules []Rule) error {
	if len(rules) > maxRules {
		return fmt.Errorf("%d rules: want at most %d", len(rules), maxRules)
	}
	var errs []error
	seen := map[string]bool{}
	for i, r := range rules {
		name := r.nameAt(i)
		for _, err := range r.check() {
			errs = append(errs, fmt.Errorf("rule %d (%s): %w", i+1, name, err))
		}
		if seen[name] {
			errs = append(errs, fmt.Errorf("rule %d: another one is called %q, too", i+1, name))
		}
		seen[name] = true
	}
	return errors.Join(errs...)
}

func (r *Rule) nameAt(i int) string {
	if r.Name == "" {
		return fmt.Sprintf("rule %d", i+1)
	}
	return r.Name
}

func (r *Rule) check() []error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if strings.HasPrefix(r.Name, strings.TrimSpace(Own)) || len(r.Name) > 100 || strings.ContainsAny(r.Name, "\n\r,;") {
		bad("name %.100q: want at most 100 bytes without line ends, commas and semicolons, not beginning with %q", r.Name, strings.TrimSpace(Own))
	}
	r.Match.check(bad)
	a := &r.Do
	if *a == (Action{}) {
		bad("it does nothing: set drop, ce, truncate, corrupt, delay, bottleneck, hold or duplicate")
	}
	if a.Drop && *a != (Action{Drop: true}) {
		bad("what is dropped cannot be anything else as well")
	}
	if a.Truncate != 0 && (a.Truncate < 14 || a.Truncate > MaxFrame) {
		bad("truncate %d: want 14 to %d bytes", a.Truncate, MaxFrame)
	}
	if c := a.Corrupt; c != nil && (c.Bits < 0 || c.Bytes < 0 || c.Bits+c.Bytes == 0 || c.Bits+c.Bytes > 1000 || !slices.Contains(regions, c.In)) {
		bad("corrupt: want 1 to 1000 bits and bytes in frame, ip, transport or payload")
	}
	a.checkTime(bad)
	return errs
}

var (
	regions = []string{"", "frame", "ip", "transport", "payload"}
	shapes  = []string{"", "uniform", "normal", "exponential"}
	protos  = []string{"", "arp", "ipv4", "ipv6", "icmp", "icmpv6", "tcp", "udp"}
)

func (a *Action) checkTime(bad func(string, ...any)) {
	within := func(what string, d, least Duration) {
		if d < least || d > maxDelay {
			bad("%s %v: want %v to %v", what, d, least, maxDelay)
		}
	}
	if d := a.Delay; d != nil {
		within("delay", d.Fixed, 0)
		within("jitter", d.Jitter, 0)
		if !slices.Contains(shapes, d.Shape) {
			bad("shape %q of the jitter: want uniform, normal or exponential", d.Shape)
		}
	}
	if b := a.Bottleneck; b != nil {
		within("delay of the bottleneck", b.Delay, 0)
		if b.Rate < 1000 || b.Rate > 1e12 || b.Queue < 0 || b.Queue > 1<<30 {
			bad("bottleneck of %d bit/s and %d bytes: want 1000 to 10^12 bit/s and up to 1 GiB", b.Rate, b.Queue)
		}
	}
	if h := a.Hold; h != nil {
		within("limit of the hold", h.Limit, Microsecond)
		if h.Frames < 0 || h.Frames == 0 && h.Until == nil {
			bad("hold: want frames above 0, or until, and a limit")
		}
		if h.Until != nil {
			h.Until.check(func(format string, args ...any) { bad("hold, until: "+format, args...) })
		}
	}
	if d := a.Duplicate; d != nil {
		within("gap of the copies", d.Gap, 0)
		if d.Copies < 1 || d.Copies > maxCopies {
			bad("duplicate: %d copies: want 1 to %d", d.Copies, maxCopies)
		}
	}
}

func (m *Match) check(bad func(string, ...any)) {
	if m.Dir < 0 || m.Dir > ToGuest {
		bad("direction %d: want from_guest or to_guest, or none for both", m.Dir)
	}
	if m.NIC != nil && (*m.NIC < 0 || *m.NIC > maxNIC) {
		bad("nic %d: want 0 to %d", *m.NIC, maxNIC)
	}
	if !slices.Contains(protos, m.Proto) {
		bad("proto %q: want one of %s", m.Proto, strings.Join(protos[1:], ", "))
	}
	if m.ofTCP() && m.Proto != "" && m.Proto != "tcp" {
		bad("proto %s: port, stream, set, clear, data, no_data, bytes, segment and transmissions are of TCP", m.Proto)
	}
	if m.MinLength < 0 || m.MaxLength < 0 || m.MaxLength > 0 && m.MaxLength < m.MinLength {
		bad("lengths %d to %d: no frame has one", m.MinLength, m.MaxLength)
	}
	if m.After < 0 || m.Before < 0 || m.Before > 0 && m.Before <= m.After {
		bad("after %v and before %v: that is never", m.After, m.Before)
	}
	if m.Set&m.Clear != 0 {
		bad("flags %v: set and clear at once", m.Set&m.Clear)
	}
	if m.Data && m.NoData {
		bad("data and no_data at once")
	}
	if m.Bytes.From < 0 || m.Bytes.To < 0 || m.Bytes.To > 0 && m.Bytes.To <= m.Bytes.From {
		bad("bytes %d to %d: want from 0 on, and to behind from", m.Bytes.From, m.Bytes.To)
	}
	for _, n := range slices.Concat(m.Segment, m.Transmissions) {
		if n < 0 {
			bad("segment or transmission %d: they are counted from 1", n)
		}
	}
	if m.Stream < 0 || m.Skip < 0 || m.Every < 0 || m.Limit < 0 {
		bad("stream, skip, every and limit: want 0 or more")
	}
	if !(m.Probability >= 0 && m.Probability <= 1) {
		bad("probability %v: want 0 to 1; 0 is as if it were not given", m.Probability)
	}
}

// ofTCP says whether only segments of TCP can match.
func (m *Match) ofTCP() bool {
	return m.Port != 0 || m.Stream != 0 || m.Set|m.Clear != 0 || m.Data || m.NoData ||
		m.Bytes != (Range{}) || len(m.Segment) > 0 || len(m.Transmissions) > 0
}
