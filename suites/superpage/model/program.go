package model

import (
	_ "embed"
	"fmt"
	"io"
	"strings"
)

//go:embed program.c.txt
var cHead string

// WriteC writes a script as a program in C for os, linux or freebsd, for whoever mends the
// kernel: it exits 1 where memory is not as it must be. What must be is worked out here,
// so the program needs no oracle.
func WriteC(w io.Writer, os string, s Script, title string) error {
	b := &strings.Builder{}
	threads := 1
	o := NewOracle(os)
	for _, op := range s {
		if !o.Applies(op) {
			continue
		}
		threads = max(threads, op.Thread+1)
		expect := o.Expect(op)
		fmt.Fprintf(b, "\ton(%d);\n", op.Thread)
		switch op.Kind {
		case Read, KRead, Write, KWrite:
			o.calls(b, op, op.Kind.String()+"_", expect.Pages, op.Kind == Read || op.Kind == KRead)
		case Fork:
			fmt.Fprintf(b, "\tfork_();\n")
			o.calls(b, op, "child_read", expect.Pages[:op.Count], true)
			o.calls(b, op, "child_write", expect.Pages[op.Count:], false)
			fmt.Fprintf(b, "\tjoin_();\n")
		case MapAnon, MapShm, Protect:
			prot := [...]string{"0", "PROT_NONE", "PROT_READ", "PROT_READ | PROT_WRITE"}[op.Prot]
			fmt.Fprintf(b, "\t%s_(%d, %d, %s);\n", op.Kind, op.First, op.Count, prot)
		case Inherit:
			fmt.Fprintf(b, "\tinherit_(%d, %d, %s);\n", op.First, op.Count, [...]string{"0", "COPY", "KEEP", "ZERO"}[op.How])
		default:
			fmt.Fprintf(b, "\t%s_(%d, %d);\n", op.Kind, op.First, op.Count)
		}
		o.Check(op, expect)
	}
	title = strings.NewReplacer("*/", "* /", "\n", " ").Replace(title)
	head := strings.NewReplacer("@TITLE@", title, "@SCRIPT@", strings.ReplaceAll(s.String(), "; ", ";\n *   "), "@THREADS@", fmt.Sprint(threads)).Replace(cHead)
	_, err := io.WriteString(w, head+b.String()+"\treturn (wrong);\n}\n")
	return err
}

// calls writes one call for each run of pages whose accesses end the same way:
// name(first, count, allowed, value), with -1 for one of several values.
func (o *Oracle) calls(w io.Writer, op Op, name string, pages []Access, load bool) {
	outcome := func(n int) (allowed int, value int64) {
		p := o.pages[op.First+n]
		switch {
		case pages[n].Fault:
			return 0, int64(op.Value)
		case !load:
			return 1, int64(op.Value)
		case p.backing == private && len(p.may) > 1:
			return 1, -1
		}
		return 1, int64(pages[n].Value)
	}
	for n := 0; n < len(pages); {
		from := n
		allowed, value := outcome(from)
		for n < len(pages) {
			if a, v := outcome(n); a != allowed || v != value {
				break
			}
			n++
		}
		fmt.Fprintf(w, "\t%s(%d, %d, %d, %d);\n", name, op.First+from, n-from, allowed, value)
	}
}

// WriteGo writes a script as a test in Go, for the tests of package superpage: a fault
// that was found once is looked for ever after.
func WriteGo(w io.Writer, s Script, title string) error {
	b := &strings.Builder{}
	fmt.Fprintf(b, "{name: %q, script: model.Script{\n", title)
	for _, op := range s {
		fmt.Fprintf(b, "\t{Kind: model.%s, Thread: %d, First: %d, Count: %d", goKinds[op.Kind], op.Thread, op.First, op.Count)
		switch op.Kind {
		case MapAnon, MapShm, Protect:
			fmt.Fprintf(b, ", Prot: model.%s", [...]string{"", "None", "ReadOnly", "ReadWrite"}[op.Prot])
		case Inherit:
			fmt.Fprintf(b, ", How: model.%s", [...]string{"", "Copy", "Keep", "Zero"}[op.How])
		case Write, KWrite, Fork:
			fmt.Fprintf(b, ", Value: %d", op.Value)
		}
		b.WriteString("},\n")
	}
	b.WriteString("}},\n")
	_, err := io.WriteString(w, b.String())
	return err
}

// goKinds are the kinds' names in this package.
var goKinds = map[Kind]string{
	MapAnon: "MapAnon", MapShm: "MapShm", Unmap: "Unmap", Protect: "Protect", DontNeed: "DontNeed", Free: "Free",
	WillNeed: "WillNeed", Lock: "Lock", Unlock: "Unlock", Inherit: "Inherit", Write: "Write", Read: "Read",
	KWrite: "KWrite", KRead: "KRead", Fork: "Fork", Truncate: "Truncate",
}
