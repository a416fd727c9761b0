package main

import "testing"

func TestOtherUART(t *testing.T) {
	both := []string{"/dev/cuau0", "/dev/cuau1"}
	for _, c := range []struct {
		consoles string
		devices  []string
		want     string
	}{
		{"ttyu0,/ttyu0,ttyv0,", both, "/dev/cuau1"},
		{"ttyu1,/ttyu1,ttyv0,", both, "/dev/cuau0"},       // as ACPI lists them in QEMU
		{"ttyv0,ttyu0,/ttyu0,ttyv0,", both, "/dev/cuau1"}, // two consoles
		{"ttyu0,/ttyu0,", both[:1], "/dev/cuau1"},         // no second one: opening it says so
		{"", both, "/dev/cuau1"},
	} {
		if got := otherUART(c.consoles, c.devices); got != c.want {
			t.Errorf("consoles %q, devices %v: %s, want %s", c.consoles, c.devices, got, c.want)
		}
	}
}
