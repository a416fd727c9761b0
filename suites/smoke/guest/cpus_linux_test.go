package guest

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseCPUList(t *testing.T) {
	for list, want := range map[string][]int{
		"0": {0}, "0-3": {0, 1, 2, 3}, "0,2-3,7": {0, 2, 3, 7},
		"": nil, "x": nil, "3-1": nil, "-1": nil, "0-999999999": nil,
	} {
		got, err := parseCPUList(list)
		if diff := cmp.Diff(want, got); diff != "" || (err == nil) != (want != nil) {
			t.Errorf("%q: %v\n%s", list, err, diff)
		}
	}
}
