package main

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/headwatch/headwatch/orchestrator/pipeline"
	"github.com/headwatch/headwatch/runners/nic"
	"github.com/headwatch/headwatch/runners/qemu"
)

// nicsPath holds the journals of NICs that are passed through.
func nicsPath(dir string) string { return filepath.Join(dir, "nics") }

// checkNIC says what is wrong with a combination that a pipelines file asks for.
func checkNIC(n pipeline.NIC) error { return nic.NIC(n).Check() }

// modelDoc is a device model as people and scripts read it.
type modelDoc struct {
	Model   string `json:"model"`
	Problem string `json:"problem"` // empty: this QEMU has it
	MTU     int    `json:"mtu"`     // largest, in bytes
	Queues  int    `json:"queues"`  // most pairs, on link tap
	Note    string `json:"note"`
}

// nicsDoc is what this host offers.
type nicsDoc struct {
	QEMU   string          `json:"qemu"`
	Host   []nic.Candidate `json:"host"`
	Models []modelDoc      `json:"models"`
	Links  []nic.Usable    `json:"links"`
}

func nicsCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "nics", Short: "list how machines can be attached on this host, and what it could pass through",
		Long: `Lists this host's PCI network devices with their drivers and IOMMU groups, and
whether each could be passed through to a machine (--nic ADDRESS@vfio,port=NAME) or
why not; the device models of the installed QEMU; and which links work here, by
trying. Nothing is changed.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.nics(cmd.Context()) },
	}
}

func (a *app) nics(ctx context.Context) error {
	r := qemu.New(qemu.Config{Log: a.logger(slog.LevelWarn)})
	var host nic.System
	candidates, err := host.Candidates()
	if err != nil {
		return rig(err)
	}
	doc := nicsDoc{Host: candidates, Links: host.TryLinks(candidates)}
	if err := doc.ask(ctx, r); err != nil {
		return rig(err)
	}
	if a.json {
		return rig(a.document(doc))
	}
	return rig(a.printNICs(doc))
}

// ask fills in what QEMU says.
func (d *nicsDoc) ask(ctx context.Context, r *qemu.Runner) error {
	var err error
	if d.QEMU, err = r.Version(ctx); err != nil {
		return err
	}
	devices, err := r.Devices(ctx)
	if err != nil {
		return err
	}
	d.Models = models(d.QEMU, devices)
	backends, err := r.Backends(ctx)
	if err != nil {
		return err
	}
	kinds := map[string]string{nic.Wire: "stream", nic.User: "user", nic.Tap: "tap"}
	for i, l := range d.Links {
		if kind := kinds[l.Link]; kind != "" && !slices.Contains(backends, kind) {
			d.Links[i].Problem = fmt.Sprintf("QEMU %s was built without -netdev %s", d.QEMU, kind)
		}
	}
	return nil
}

// models says which models a QEMU of some version and devices has.
func models(version string, devices []string) []modelDoc {
	var out []modelDoc
	for _, m := range nic.Models() {
		d := modelDoc{Model: m.Name, Problem: m.Missing(version), MTU: m.MTU, Queues: m.Queues}
		if d.Problem == "" && !slices.Contains(devices, m.Name) {
			d.Problem = "this QEMU was built without it"
		}
		if s := (nic.NIC{Model: m.Name, Link: nic.Wire}).Guest(version); s.TSO == "off" {
			d.Note = fmt.Sprintf("tso stays off: QEMU before %s damages what it segments", m.TSOFrom)
		}
		out = append(out, d)
	}
	return out
}

func (a *app) printNICs(doc nicsDoc) error {
	w := tabwriter.NewWriter(a.stdout, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "ADDRESS\tNAME\tDRIVER\tGROUP\tPASSTHROUGH")
	for _, c := range doc.Host {
		var names []string
		for _, i := range c.Interfaces {
			names = append(names, i.Name)
		}
		group := "-"
		if c.Group >= 0 {
			group = fmt.Sprint(c.Group)
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", c.Address, dash(strings.Join(names, ",")), dash(c.Driver), group, verdictOf(strings.Join(c.Obstacles, "; "), ""))
	}
	if len(doc.Host) == 0 {
		fmt.Fprintln(w, "-\t-\t-\t-\tno: this host has no PCI network device")
	}
	fmt.Fprintf(w, "\nMODEL\tMTU\tQUEUES\tQEMU %s\n", doc.QEMU)
	for _, m := range doc.Models {
		fmt.Fprintf(w, "%s\t%d\t%d\t%s\n", m.Model, m.MTU, m.Queues, verdictOf(m.Problem, m.Note))
	}
	fmt.Fprintln(w, "\nLINK\tWORKS HERE")
	for _, l := range doc.Links {
		fmt.Fprintf(w, "%s\t%s\n", l.Link, verdictOf(l.Problem, l.Note))
	}
	return w.Flush()
}

// verdictOf is yes, with a note, or no, with the reason.
func verdictOf(problem, note string) string {
	switch {
	case problem != "":
		return "no: " + problem
	case note != "":
		return "yes; " + note
	}
	return "yes"
}

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// giveBackNICs gives back what a killed process of this state directory had passed
// through. A device that cannot be given back now does not keep the rest from its
// work.
func giveBackNICs(ctx context.Context, dir string, log *slog.Logger) {
	left, err := nic.System{}.Recover(ctx, nicsPath(dir))
	for _, l := range left {
		log.Info("gave a passed-through nic back that a killed process had", "devices", strings.Join(l.Devices, " "))
	}
	if err != nil {
		log.Warn("a passed-through nic was not given back", "error", err)
	}
}

// fsckNICs finds devices that a killed process did not give back.
func fsckNICs(ctx context.Context, dir string, repair bool) ([]problem, error) {
	left, err := nic.Leftovers(nicsPath(dir))
	if repair && err == nil {
		left, err = nic.System{}.Recover(ctx, nicsPath(dir))
	}
	var out []problem
	for _, l := range left {
		out = append(out, problem{Check: "nics", What: l.String(), Fixed: repair, Note: true})
	}
	if err != nil {
		out = append(out, problem{Check: "nics", What: err.Error()})
	}
	return out, nil
}
