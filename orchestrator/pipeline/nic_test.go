package pipeline

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseNICs(t *testing.T) {
	known := Known{
		NICModels: []string{"virtio-net", "e1000", "e1000e"}, NICLinks: []string{"wire", "user", "tap", "vfio"},
		CheckNIC: func(n NIC) error {
			if n.Queues > 1 && n.Link != "tap" {
				return errors.New("one queue only")
			}
			return nil
		},
	}
	for _, tt := range []struct {
		in   string
		want []NIC
		err  string
	}{
		{"virtio-net", []NIC{{Model: "virtio-net", Link: "user"}}, ""},
		{"virtio-net@wire,e1000", []NIC{{Model: "virtio-net", Link: "wire"}, {Model: "e1000", Link: "user"}}, ""},
		{"virtio-net@tap,queues=4,mtu=9000,tso=off,e1000e@wire,csum=on", []NIC{
			{Model: "virtio-net", Link: "tap", Queues: 4, MTU: 9000, TSO: "off"}, {Model: "e1000e", Link: "wire", Checksum: "on"},
		}, ""},
		{"0000:03:00.0@vfio,port=enp4s0", []NIC{{Model: "0000:03:00.0", Link: "vfio", Port: "enp4s0"}}, ""},
		{"virtio-net@tap,bridge=br0,lro=off,mac=52:54:00:00:00:01", []NIC{
			{Model: "virtio-net", Link: "tap", Bridge: "br0", LRO: "off", MAC: "52:54:00:00:00:01"},
		}, ""},
		{"virtio-net,queues=4", nil, "one queue only"},
		{"03:00.0@vfio,port=eth1", nil, "link vfio takes the PCI address of a NIC of the host, such as 0000:03:00.0, found \"03:00.0\""},
		{"virtio-net@vifo", nil, `unknown link "vifo": did you mean "vfio"?`},
		{"0000:03:00.0", nil, "unknown model"},
		{"virtio-net,mtu=9k", nil, `option mtu: expected a number from 1 to 65535, found "9k"`},
		{"virtio-net,mtu=+9", nil, "expected a number"},
		{"virtio-net,mac=01:00:5e:00:00:01", nil, "the address of one station"},
		{"virtio-net,mtu=", nil, "expected a number"},
		{"mtu=9000", nil, "is an option and belongs to a model"},
		{"", nil, "unknown model"},
		{strings.Repeat("e1000,", 8) + "e1000", nil, "expected at most 8, found 9"},
	} {
		got, err := ParseNICs(tt.in, known)
		if tt.err != "" {
			if err == nil || !strings.Contains(err.Error(), tt.err) {
				t.Errorf("%q: error %v, want %q in it", tt.in, err, tt.err)
			}
			continue
		}
		if diff := cmp.Diff(tt.want, got); diff != "" || err != nil {
			t.Errorf("%q: %v (-want +got):\n%s", tt.in, err, diff)
		}
		var words []string
		for _, n := range got {
			words = append(words, n.String())
		}
		if again, err := ParseNICs(strings.Join(words, ","), known); !cmp.Equal(again, got) {
			t.Errorf("%q: written %q, which reads as %v, %v", tt.in, words, again, err)
		}
	}
}
