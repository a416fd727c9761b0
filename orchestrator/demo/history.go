// Package demo makes the small upstream that `headwatch demo` follows: a git
// repository whose commits configure a Linux guest (kernel arguments, sysctls,
// modules, files), one of which makes the guest's kernel behave worse.
//
// Everything is drawn from a seed, dates included, so that the same seed gives
// the same object ids. Only Answer tells which commit is the culprit; nothing
// that a commit carries into the guest is read by an agent or a case.
package demo

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"
)

// Commits is the length of the history.
const Commits = 40

// The culprit is drawn from this part of the history, so that there are good
// commits before and bad ones after it.
const (
	firstCulprit = 9
	lastCulprit  = 33
)

// changes is how many commits change the guest; the others touch documentation
// only, so that their builds equal their parents'.
const changes = 9

// edit is one commit's change: lines appended to a file, or a file of its own.
type edit struct {
	path    string
	line    string
	subject string
}

// guestEdits are harmless: none of them changes what a suite looks at.
var guestEdits = []edit{
	{"guest/cmdline", "loglevel=6", "boot: print notices on the console"},
	{"guest/cmdline", "random.trust_cpu=on", "boot: trust the processor's random numbers"},
	{"guest/cmdline", "transparent_hugepage=madvise", "boot: huge pages only where asked for"},
	{"guest/cmdline", "nowatchdog", "boot: no lockup watchdog on shared hosts"},
	{"guest/sysctl.conf", "vm.swappiness = 10", "vm: prefer to drop cache"},
	{"guest/sysctl.conf", "net.core.somaxconn = 1024", "net: longer accept queues"},
	{"guest/sysctl.conf", "net.ipv4.tcp_fin_timeout = 30", "tcp: give up on orphans after 30 s"},
	{"guest/sysctl.conf", "net.ipv4.tcp_keepalive_time = 600", "tcp: find dead peers earlier"},
	{"guest/sysctl.conf", "vm.dirty_ratio = 15", "vm: write back earlier"},
	{"guest/sysctl.conf", "kernel.pid_max = 65536", "kernel: more process ids"},
	{"guest/sysctl.conf", "net.ipv4.tcp_mtu_probing = 1", "tcp: find black holes"},
	{"guest/sysctl.conf", "kernel.panic_on_oops = 1", "kernel: an oops is a panic"},
	{"guest/modules", "dummy", "net: load the dummy interface"},
	{"guest/modules", "loop", "block: load the loop driver"},
	{"guest/modules", "tcp_bbr", "tcp: make BBR available"},
	{"guest/modules", "sch_fq", "net: make fair queueing available"},
	{"guest/files/etc/motd", "Welcome to the edge.", "etc: greet the operator"},
	{"guest/files/etc/issue", "edge node", "etc: name the machine"},
}

// fault leaves four local ports for outgoing connections: a fifth that is open
// at the same time is refused by connect(2) with EADDRNOTAVAIL (ip(7),
// ip_local_port_range).
var fault = edit{"guest/sysctl.conf", "net.ipv4.ip_local_port_range = 61000 61003", "net: keep ephemeral ports inside the firewall's range"}

var docEdits = []edit{
	{"README.md", "Images are built every night.", "readme: say when images are built"},
	{"README.md", "See docs/ for the rest.", "readme: point to the documentation"},
	{"docs/network.md", "Every node has two uplinks.", "docs: describe the uplinks"},
	{"docs/network.md", "Addresses come from the rack.", "docs: say where addresses come from"},
	{"docs/storage.md", "Disks are not mirrored.", "docs: describe the disks"},
	{"docs/oncall.md", "Page the kernel team for panics.", "docs: say whom to page"},
	{"docs/oncall.md", "Keep the console log.", "docs: ask for the console log"},
	{"docs/release.md", "A release is a tag.", "docs: describe releases"},
}

var authors = []string{"Ada Example", "Ben Example", "Cleo Example", "Dario Example", "Eve Example"}

// step is one commit of the history.
type step struct {
	edit
	author string
	when   time.Time
}

// plan draws the whole history from a seed.
func plan(seed uint64) []step {
	r := rand.New(rand.NewPCG(seed, 0x6865616477617463))
	culprit := firstCulprit + r.IntN(lastCulprit-firstCulprit+1)
	guest := r.Perm(len(guestEdits))[:changes-1]
	places := r.Perm(Commits)
	places = slices.DeleteFunc(places, func(i int) bool { return i == 0 || i == culprit })
	places = places[:len(guest)]
	when := time.Date(2026, 1, 5, 9, 0, 0, 0, time.UTC)
	steps := make([]step, Commits)
	for i := range steps {
		when = when.Add(time.Duration(20+r.IntN(400)) * time.Minute)
		e := docEdits[r.IntN(len(docEdits))]
		e.line = fmt.Sprintf("%s (%d)", e.line, i)
		steps[i] = step{edit: e, author: authors[r.IntN(len(authors))], when: when}
	}
	for n, i := range places {
		steps[i].edit = guestEdits[guest[n]]
	}
	steps[culprit].edit = fault
	return steps
}

// Answer says which commit of a seed's history is the culprit, counted from 0,
// and which case it breaks.
func Answer(seed uint64) (index int, name string) {
	for i, s := range plan(seed) {
		if s.edit == fault {
			return i, "smoke/loopback_tcp"
		}
	}
	panic("a history without its fault")
}

// stream renders the history for git-fast-import(1). Each commit's tree follows
// from its parent's; only the file that it touches is written.
func stream(steps []step) string {
	var b strings.Builder
	files := map[string]string{"README.md": "# edge-config\n\nWhat our guests boot with.\n", "guest/cmdline": "# kernel arguments\n"}
	for i, s := range steps {
		text := s.subject + "\n"
		fmt.Fprintf(&b, "commit refs/heads/all\nmark :%d\n", i+1)
		mail := strings.ToLower(strings.Fields(s.author)[0]) + "@example.org"
		fmt.Fprintf(&b, "author %s <%s> %d +0000\n", s.author, mail, s.when.Unix())
		fmt.Fprintf(&b, "committer %s <%s> %d +0000\n", s.author, mail, s.when.Unix())
		fmt.Fprintf(&b, "data %d\n%s", len(text), text)
		if i > 0 {
			fmt.Fprintf(&b, "from :%d\n", i)
		}
		files[s.path] += s.line + "\n"
		written := []string{s.path}
		if i == 0 {
			written = nil
			for p := range files {
				written = append(written, p)
			}
			slices.Sort(written)
		}
		for _, p := range written {
			fmt.Fprintf(&b, "M 100644 inline %s\ndata %d\n%s\n", p, len(files[p]), files[p])
		}
		b.WriteString("\n")
	}
	return b.String()
}
