// Package guest is what the agent can see and change of a kernel, for any suite:
// its statistics, settings, modules, interfaces and programs. The types of this
// file are what goes between host and guest; they are compiled into both ends.
//
// One agent serves every version of a kernel, so nothing here knows the layout of
// a structure that a version may change: statistics travel as the bytes that the
// kernel gave, and package kernel decodes them on the host. What it does know are
// the interfaces that a kernel promises to keep, such as ioctl and routing
// messages.
package guest

// Names of the operations.
const (
	OpSysctl       = "kernel/sysctl"
	OpSysctlSet    = "kernel/sysctl_set"
	OpSysctls      = "kernel/sysctls"
	OpFile         = "kernel/file"
	OpPCBList      = "kernel/pcblist"
	OpRest         = "kernel/rest"
	OpModules      = "kernel/modules"
	OpModuleLoad   = "kernel/module_load"
	OpModuleUnload = "kernel/module_unload"
	OpInterfaces   = "kernel/interfaces"
	OpInterface    = "kernel/interface"
	OpAddress      = "kernel/address"
	OpRoute        = "kernel/route"
	OpNeighbor     = "kernel/neighbor"
	OpExec         = "kernel/exec"
)

// Limits of what one operation takes or gives.
const (
	MaxReading = 64 << 20 // bytes of a reading, before compression
	// MaxSysctlValue bounds a value in a list; longer ones are cut.
	MaxSysctlValue = 4 << 10
	// MaxWrite bounds a value to be written, a program's arguments and its standard
	// input. A channel that is a terminal loses longer requests.
	MaxWrite  = 8 << 10
	MaxOutput = 256 << 10 // bytes of a program's output that are kept, per stream
)

// NameArgs names a sysctl, or the path of a file.
type NameArgs struct {
	Name string `json:"name"`
}

// Reading is what the kernel gave, whole or in pieces: the pieces' data joined is
// one deflate stream (RFC 1951) of Size bytes.
type Reading struct {
	Absent bool   `json:"absent,omitempty"` // the kernel has nothing by that name
	Size   int    `json:"size"`             // bytes when inflated
	Data   []byte `json:"data"`
	// Rest names what is left for kernel/rest; 0: this was the last piece. The
	// agent keeps few readings: a piece not fetched for long is gone.
	Rest uint64 `json:"rest,omitempty"`
}

// RestArgs asks for the next piece of a reading.
type RestArgs struct {
	Rest uint64 `json:"rest"`
}

// SysctlSetArgs writes a sysctl. Exactly one of Text and Raw is used: Text is
// converted to the type that the kernel says the value has, Raw is written as it
// is.
type SysctlSetArgs struct {
	Name string `json:"name"`
	Text string `json:"text,omitempty"`
	Raw  []byte `json:"raw,omitempty"`
}

// SysctlsArgs lists the sysctls below Prefix whose names end in Suffix, from the
// one after the place where the last answer stopped; or those of Names.
type SysctlsArgs struct {
	Prefix string   `json:"prefix,omitempty"`
	Suffix string   `json:"suffix,omitempty"`
	After  string   `json:"after,omitempty"`
	Names  []string `json:"names,omitempty"`
}

// Sysctls is a part of a list. After is where to go on; empty: the list is whole.
// Names that the kernel does not have are left out.
type Sysctls struct {
	Nodes []Sysctl `json:"nodes"`
	After string   `json:"after,omitempty"`
}

// Sysctl is one value. Kind is the kernel's type: int, uint, long, ulong, s8 to
// s64, u8 to u64, string, opaque; on Linux always string. Format is the kernel's
// own word for how to show it ("I", "S,timeval"), empty on Linux.
type Sysctl struct {
	Name   string `json:"name"`
	Kind   string `json:"kind"`
	Format string `json:"format,omitempty"`
	Value  []byte `json:"value"`
	Size   int    `json:"size"` // of the whole value
	// Refused is the errno with which the kernel refused to give the value.
	Refused string `json:"refused,omitempty"`
}

// Module is a loaded kernel module. The kernel itself is one of FreeBSD's.
type Module struct {
	Name string `json:"name"`
	Path string `json:"path,omitempty"` // FreeBSD only
	ID   int    `json:"id,omitempty"`   // FreeBSD only
	Refs int    `json:"refs"`
	Size int64  `json:"size"` // bytes
}

// ModuleLoadArgs names a file, or on FreeBSD also a module in the kernel's own
// search path.
type ModuleLoadArgs struct {
	Path   string `json:"path"`
	Params string `json:"params,omitempty"` // Linux only
}

// ModuleLoaded says what became of it.
type ModuleLoaded struct {
	Already bool `json:"already"` // it was there before
}

// ModuleUnloadArgs names a loaded module.
type ModuleUnloadArgs struct {
	Name  string `json:"name"`
	Force bool   `json:"force,omitempty"`
}

// Interface is a network interface.
type Interface struct {
	Name      string   `json:"name"`
	Index     int      `json:"index"`
	MTU       int      `json:"mtu"`
	MAC       string   `json:"mac,omitempty"`
	Flags     string   `json:"flags"` // as Go's net package writes them: "up|broadcast|multicast"
	Addresses []string `json:"addresses"`
}

// InterfaceArgs changes an interface, in this order; a zero field changes nothing.
type InterfaceArgs struct {
	Name string `json:"name"`
	MAC  string `json:"mac,omitempty"`
	MTU  int    `json:"mtu,omitempty"`
	Up   *bool  `json:"up,omitempty"`
}

// AddressArgs adds an address to an interface or removes it. IPv6 addresses are
// usable at once: duplicates are not looked for.
type AddressArgs struct {
	Interface string `json:"interface"`
	Address   string `json:"address"` // with its prefix length: "192.0.2.1/24"
	Remove    bool   `json:"remove,omitempty"`
}

// RouteArgs adds a route, replacing one to the same destination, or removes it.
// It needs a gateway, an interface, or both.
type RouteArgs struct {
	Destination string `json:"destination"` // "0.0.0.0/0"
	Gateway     string `json:"gateway,omitempty"`
	Interface   string `json:"interface,omitempty"`
	Remove      bool   `json:"remove,omitempty"`
}

// NeighborArgs adds a static ARP or neighbour-discovery entry, replacing the one
// for the same address, or removes it.
type NeighborArgs struct {
	Interface string `json:"interface"`
	Address   string `json:"address"`
	MAC       string `json:"mac,omitempty"`
	Remove    bool   `json:"remove,omitempty"`
}

// ExecArgs starts a program in a process group of its own and waits for it. When
// TimeoutS is over, the group is killed; 0 leaves only the operation's own limit.
type ExecArgs struct {
	Argv     []string `json:"argv"`
	Env      []string `json:"env,omitempty"` // empty: the agent's
	Dir      string   `json:"dir,omitempty"`
	Stdin    []byte   `json:"stdin,omitempty"`
	TimeoutS float64  `json:"timeout_s,omitempty"`
	// OutputLimit is how many bytes of each stream are kept; 0: 64 KiB.
	OutputLimit int `json:"output_limit,omitempty"`
}

// Exec is how a program ended. Exit is -1 when a signal ended it.
type Exec struct {
	Exit     int     `json:"exit"`
	Signal   string  `json:"signal,omitempty"` // "SIGKILL"
	TimedOut bool    `json:"timed_out,omitempty"`
	Held     bool    `json:"held,omitempty"` // a descendant held the output open and was killed with its group
	Stdout   Output  `json:"stdout"`
	Stderr   Output  `json:"stderr"`
	Duration float64 `json:"duration_s"`
}

// Output is the beginning and the end of a stream; Dropped bytes lay between.
type Output struct {
	Head    []byte `json:"head"`
	Tail    []byte `json:"tail,omitempty"`
	Dropped int64  `json:"dropped,omitempty"`
}
