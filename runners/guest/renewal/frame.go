package renewal

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"net"
)

const (
	// etherType is the first that IEEE 802 leaves to local experiments.
	etherType = 0x88b5
	tokenSize = 8
	minFrame  = 60 // of Ethernet, without the checksum
)

// greeting tells the frame from other people's experiments.
const greeting = "headwatch "

// Frame is what a guest sends to show that its interface works: a broadcast from
// its address src with the token that it was told, tokenSize bytes in
// hexadecimal.
func Frame(src net.HardwareAddr, token string) ([]byte, error) {
	raw, err := hex.DecodeString(token)
	if err != nil {
		return nil, err
	}
	f := bytes.Repeat([]byte{0xff}, 6)
	f = append(f, src...)
	f = binary.BigEndian.AppendUint16(f, etherType)
	f = append(append(f, greeting...), raw...)
	return append(f, make([]byte, max(0, minFrame-len(f)))...), nil
}

// IsFrame says whether a frame is the one of src and token. Padding that a driver
// or a device adds does not matter.
func IsFrame(frame []byte, src net.HardwareAddr, token string) bool {
	want, err := Frame(src, token)
	return err == nil && bytes.HasPrefix(frame, want)
}
