package kernel

import "fmt"

// tcpStates are FreeBSD's states by number (netinet/tcp_fsm.h), which RFC 793
// settled.
var tcpStates = []string{
	"CLOSED", "LISTEN", "SYN_SENT", "SYN_RECEIVED", "ESTABLISHED", "CLOSE_WAIT",
	"FIN_WAIT_1", "CLOSING", "LAST_ACK", "FIN_WAIT_2", "TIME_WAIT",
}

// DecodeTCPStats reads net.inet.tcp.stats: struct tcpstat, whose members are all
// 64-bit numbers. Without its layout they go by place: "u64[17]".
func DecodeTCPStats(b []byte, layouts Layouts) (Counters, error) {
	if len(b)%8 != 0 || len(b) > maxStruct {
		return nil, fmt.Errorf("net.inet.tcp.stats: %d bytes are no row of 64-bit numbers", len(b))
	}
	c := Counters{}
	s, ok := layouts["tcpstat"]
	if !ok {
		for i, n := range words(b) {
			c[fmt.Sprintf("u64[%d]", i)] = n
		}
		return c, nil
	}
	if int64(len(b)) != s.Size {
		return nil, fmt.Errorf("net.inet.tcp.stats: %d bytes, but struct tcpstat has %d: is the layout of another kernel?", len(b), s.Size)
	}
	s.values(b, c)
	for _, m := range s.Members {
		for i := range m.Count {
			n, ok := m.word(b, i)
			if !ok || isPadding(m.Name) {
				break
			}
			c[fmt.Sprintf("%s[%d]", m.Name, i)] = n
		}
	}
	return c, nil
}

// DecodeTCPStates reads net.inet.tcp.states: how many connections are in each
// state.
func DecodeTCPStates(b []byte) (Counters, error) {
	if len(b) != 8*len(tcpStates) {
		return nil, fmt.Errorf("net.inet.tcp.states: %d bytes, want %d numbers of 8", len(b), len(tcpStates))
	}
	c := Counters{}
	for i, n := range words(b) {
		c[tcpStates[i]] = n
	}
	return c, nil
}
