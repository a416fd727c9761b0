package qemu

// rank is nothing: templates, and so spares, are not to be had here.
type rank struct{}

func (p *process) lower() { p.rank = &rank{} }
func (p *process) raise() { p.rank = nil }
func raises() bool        { return false }
func available() int64    { return -1 }
