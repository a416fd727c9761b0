//go:build !linux

package nic

import (
	"context"
	"errors"
	"os"
)

// errLinux says that a link needs what only Linux has.
var errLinux = errors.New("links tap and vfio need a Linux host; take wire or user")

// Port is a host's interface as the end of a cable.
type Port struct{ Frames }

// OpenPort needs Linux.
func (System) OpenPort(string, int) (*Port, error) { return nil, errLinux }

// Carrier says whether the other end of the cable is there.
func (*Port) Carrier() (bool, error) { return false, errLinux }

// AwaitCarrier waits until the other end of the cable is there.
func (*Port) AwaitCarrier(context.Context) error { return errLinux }

// Dropped counts the frames that the interface did not take.
func (*Port) Dropped() int64 { return 0 }

// OpenedTap is a tap for one machine.
type OpenedTap struct {
	Name          string
	Queues, Vhost []*os.File
	Far           Frames
}

// OpenTap needs Linux.
func (System) OpenTap(NIC) (*OpenedTap, error) { return nil, errLinux }

// Close ends the tap.
func (*OpenedTap) Close() error { return nil }
