package pipeline

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// maxNICs bounds the NICs of a machine.
const maxNICs = 8

// passthrough is the link whose device is the host's own, named by its address.
const passthrough = "vfio"

var (
	pciAddress    = regexp.MustCompile(`^[0-9a-f]{4}:[0-9a-f]{2}:[01][0-9a-f]\.[0-7]$`)
	interfaceName = regexp.MustCompile(`^[A-Za-z0-9_.-]{1,15}$`)
)

// ParseNICs reads "model[@link][,option=value]…", or several with commas, as a
// machine's nics has them.
func ParseNICs(s string, known Known) ([]NIC, error) {
	var out []NIC
	var errs []error
	for _, one := range splitNICs(s) {
		c, wrong := (&problems{}).nic(one, known)
		for _, w := range wrong {
			errs = append(errs, errors.New(w))
		}
		out = append(out, c)
	}
	if len(out) > maxNICs {
		errs = append(errs, fmt.Errorf("expected at most %d, found %d", maxNICs, len(out)))
	}
	if len(errs) > 0 {
		return nil, errs[0]
	}
	return out, nil
}

// splitNICs splits at the commas that part NICs: after them comes no option.
func splitNICs(s string) (out []string) {
	for _, word := range strings.Split(s, ",") {
		if strings.Contains(word, "=") && len(out) > 0 {
			out[len(out)-1] += "," + word
			continue
		}
		out = append(out, word)
	}
	return out
}

// String writes a NIC as ParseNICs reads it.
func (n NIC) String() string {
	s := n.Model + "@" + n.Link
	for _, o := range nicOptions(&n) {
		if v := o.value(); v != "" {
			s += "," + o.name + "=" + v
		}
	}
	return s
}

// nicOption is an option of a NIC: where its value goes, and what it may be.
type nicOption struct {
	name   string
	text   *string             // exactly one of text and number is set
	number *int                //
	most   int                 // of number; the least is 1
	check  func(string) string // what text was expected to be instead, or ""
}

func (o nicOption) value() string {
	if o.text != nil {
		return *o.text
	}
	if *o.number == 0 {
		return ""
	}
	return strconv.Itoa(*o.number)
}

// set reads a value, and says what was expected of one that is wrong.
func (o nicOption) set(value string) string {
	if o.text != nil {
		if expected := o.check(value); expected != "" {
			return expected
		}
		*o.text = value
		return ""
	}
	n, err := strconv.Atoi(value)
	if err != nil || n < 1 || n > o.most || strconv.Itoa(n) != value {
		return fmt.Sprintf("a number from 1 to %d, found %s", o.most, quote(value))
	}
	*o.number = n
	return ""
}

// nicOptions are the options of a NIC, in the order in which they are written.
func nicOptions(n *NIC) []nicOption {
	return []nicOption{
		{name: "bridge", text: &n.Bridge, check: checkInterface},
		{name: "port", text: &n.Port, check: checkInterface},
		{name: "mac", text: &n.MAC, check: checkMAC},
		{name: "queues", number: &n.Queues, most: 64},
		{name: "mtu", number: &n.MTU, most: 65535},
		{name: "tso", text: &n.TSO, check: checkSwitch},
		{name: "lro", text: &n.LRO, check: checkSwitch},
		{name: "csum", text: &n.Checksum, check: checkSwitch},
	}
}

func checkSwitch(s string) string {
	if s != "on" && s != "off" {
		return "on or off, found " + quote(s)
	}
	return ""
}

func checkInterface(s string) string {
	if !interfaceName.MatchString(s) || s == "." || s == ".." {
		return "the name of a network interface of the host, found " + quote(s)
	}
	return ""
}

func checkMAC(s string) string {
	// One way to write it, for machines are told apart by their words.
	mac, err := net.ParseMAC(s)
	if err != nil || len(mac) != 6 || mac[0]&1 != 0 || mac.String() != s {
		return "the address of one station, such as 52:54:00:68:77:01, found " + quote(s)
	}
	return ""
}

// nic reads one, and says what is wrong with it.
func (p *problems) nic(s string, known Known) (c NIC, wrong []string) {
	words := strings.Split(s, ",")
	var linked bool
	c.Model, c.Link, linked = strings.Cut(words[0], "@")
	if !linked {
		c.Link = "user"
	}
	if strings.Contains(words[0], "=") {
		return c, []string{fmt.Sprintf("%s is an option and belongs to a model: write one NIC with its options in quotes, such as \"virtio-net@tap,queues=4\"", quote(words[0]))}
	}
	if passed := c.Link == passthrough && slices.Contains(known.NICLinks, passthrough); passed && !pciAddress.MatchString(c.Model) {
		wrong = append(wrong, fmt.Sprintf("link vfio takes the PCI address of a NIC of the host, such as 0000:03:00.0, found %s", quote(c.Model)))
	} else if !passed && !slices.Contains(known.NICModels, c.Model) {
		wrong = append(wrong, fmt.Sprintf("unknown model %s: %s", quote(c.Model), p.hint(c.Model, known.NICModels)))
	}
	if !slices.Contains(known.NICLinks, c.Link) {
		wrong = append(wrong, fmt.Sprintf("unknown link %s: %s", quote(c.Link), p.hint(c.Link, known.NICLinks)))
	}
	wrong = append(wrong, p.nicOptions(&c, words[1:])...)
	if len(wrong) == 0 && known.CheckNIC != nil {
		if err := known.CheckNIC(c); err != nil {
			wrong = append(wrong, err.Error())
		}
	}
	return c, wrong
}

// nicOptions reads the options of a NIC.
func (p *problems) nicOptions(c *NIC, words []string) (wrong []string) {
	options := map[string]nicOption{}
	for _, o := range nicOptions(c) {
		options[o.name] = o
	}
	seen := map[string]bool{}
	for _, word := range words {
		name, value, _ := strings.Cut(word, "=")
		o, ok := options[name]
		switch {
		case !ok:
			wrong = append(wrong, fmt.Sprintf("unknown option %s: %s", quote(name), p.hint(name, slices.Sorted(maps.Keys(options)))))
		case seen[name]:
			wrong = append(wrong, fmt.Sprintf("option %s comes twice", quote(name)))
		default:
			if expected := o.set(value); expected != "" {
				wrong = append(wrong, fmt.Sprintf("option %s: expected %s", name, expected))
			}
		}
		seen[name] = true
	}
	return wrong
}
