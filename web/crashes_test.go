package web_test

import (
	"strings"
	"testing"

	"github.com/PuerkitoBio/goquery"

	"github.com/headwatch/headwatch/orchestrator"
	"github.com/headwatch/headwatch/web"
)

// each is what every element of a selection says.
func each(s *goquery.Selection) (out []string) {
	s.Each(func(_ int, s *goquery.Selection) { out = append(out, text(s)) })
	return out
}

func TestCrashesPage(t *testing.T) {
	n := seeded(t)
	h := web.Handler(n, web.Nothing{}, options())
	if at, _ := page(t, h, "/").Find("nav a").Eq(1).Attr("href"); at != "/crashes" {
		t.Errorf("the overview leads to %q", at)
	}
	doc := page(t, h, "/crashes")
	expect(t, doc, "tr.known:first-child .case", "panic: sbsndptr_adv: sbsndmbuf mismatch sys/kern/uipc_sockbuf.c:1522")
	expect(t, doc, "tr.known:first-child .st", "fatal")
	expect(t, doc, "tr.known:first-child .num:nth-child(5)", "2")
	expect(t, doc, "tr.known:last-child .st", "lock order")
	if rows := doc.Find("tr.known").Length(); rows != 2 {
		t.Errorf("%d crashes, want 2", rows)
	}
	places := strings.Join(each(doc.Find("tr.known:first-child .place")), "; ")
	if want := n.commits[4].Hash[:10] + " freebsd-amd64; " + n.commits[1].Hash[:10] + " freebsd-amd64"; places != want {
		t.Errorf("seen at %q, want %q", places, want)
	}
	if at, _ := doc.Find("tr.known a").First().Attr("href"); at != "/crash/"+lossCrash.Signature {
		t.Errorf("leads to %q", at)
	}
	empty := page(t, web.Handler(newWorld(t), web.Nothing{}, options()), "/crashes")
	expect(t, empty, ".calm", "✓ None. No kernel has crashed, hung or complained on its console.")
}

func TestCrashPage(t *testing.T) {
	n := seeded(t)
	h := web.Handler(n, web.Nothing{}, options())
	run := page(t, h, "/run/"+n.failedRun)
	if at, _ := run.Find(".crash summary a").Attr("href"); at != "/crash/"+lossCrash.Signature {
		t.Errorf("the run leads to %q", at)
	}
	expect(t, run, ".crash summary span", "fatal · in sys/kern/uipc_sockbuf.c:1522 · everything about signature 9b1f77aa0c2d4e5f")
	for _, path := range []string{lossCrash.Signature, lossCrash.Signature[:6]} {
		doc := page(t, h, "/crash/"+path)
		expect(t, doc, "h1", lossCrash.Title)
		expect(t, doc, ".title .st", "fatal")
		expect(t, doc, ".sub .where", "sys/kern/uipc_sockbuf.c:1522")
		expect(t, doc, "tr.place", "freebsd freebsd-amd64 "+n.commits[4].Hash[:10]+" tcp: rack: account for SACKed bytes in recovery "+
			n.commits[1].Hash[:10]+" tcp: improve consistency of syncache log messages 2")
		frames := strings.Join(each(doc.Find(".frames li")), "; ")
		if want := "sbsndptr_adv sys/kern/uipc_sockbuf.c:1522; tcp_m_copym sys/netinet/tcp_output.c:1921 inlined; " +
			"tcp_default_output sys/netinet/tcp_output.c:1088; ??"; frames != want {
			t.Errorf("frames %q, want %q", frames, want)
		}
		if doc.Find("#report").Text() != lossCrash.Text {
			t.Errorf("report %q", doc.Find("#report").Text())
		}
		expect(t, doc, "#h-seen + .muted", "2 runs")
		if at, _ := doc.Find("tr.run a").Last().Attr("href"); doc.Find("tr.run").Length() != 2 || at != "/commit/"+n.commits[4].Hash {
			t.Errorf("%d runs, the first of commit %q", doc.Find("tr.run").Length(), at)
		}
	}
}

// A crash whose commits a force-push took off the line is shown, without a place.
func TestCrashOffTheLine(t *testing.T) {
	n := seeded(t)
	n.must(n.db.AddUpdate(t.Context(), "freebsd", orchestrator.Update{Dropped: []string{n.commits[3].Hash}}))
	h := web.Handler(n, web.Nothing{}, options())
	expect(t, page(t, h, "/crash/"+reversal.Signature), "tr.place .first", "its commits are not on the line any more")
	expect(t, page(t, h, "/crashes"), "tr.known:last-child td:nth-child(3) .place", "not on the line freebsd-amd64")
}
