package freebsd

import (
	"slices"
	"testing"
)

func TestCCache(t *testing.T) {
	here := func(name string) bool { return name == "/usr/local/bin/ccache" }
	c := findCCache("/state/ccache", here)
	p := samplePlan()
	plain := p.env()
	p.ccache = c
	got := p.env()
	for _, want := range []string{"WITH_CCACHE_BUILD=yes", "CCACHE_BIN=/usr/local/bin/ccache", "CCACHE_DIR=/state/ccache", "CCACHE_BASEDIR=" + p.folder} {
		if !slices.Contains(got, want) || slices.Contains(plain, want) {
			t.Errorf("%s: want it with ccache, and only then", want)
		}
	}
	for _, none := range []ccache{findCCache("", here), findCCache("/state/ccache", func(string) bool { return false })} {
		if none != (ccache{}) {
			t.Errorf("%+v: want none", none)
		}
	}
}
