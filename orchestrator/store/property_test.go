package store

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/headwatch/headwatch/orchestrator"
	"github.com/headwatch/headwatch/orchestrator/verdict"
	"github.com/headwatch/headwatch/suites"
)

// disorder is a world of workers that repeat themselves, overtake each other and
// come back from the dead. What a case says depends on its job alone, so all
// attempts of a job agree.
type disorder struct {
	t    *rapid.T
	db   *DB
	jobs []orchestrator.Job
	runs []orchestrator.Run // every attempt that was ever begun
}

const disorderCases = 3

func (d *disorder) said(j orchestrator.Job, i int) suites.Result {
	s := suites.Statuses[(j.Repeat*disorderCases+i)%len(suites.Statuses)]
	return suites.Result{Case: fmt.Sprintf("smoke/case%d", i), Status: s}
}

// must accepts what a worker that is too late is told.
func (d *disorder) must(err error) {
	if err != nil && !errors.Is(err, orchestrator.ErrJobDone) && !errors.Is(err, orchestrator.ErrAbandoned) {
		d.t.Fatal(err)
	}
}

func (d *disorder) begin(j orchestrator.Job) {
	r, err := d.db.BeginRun(d.t.Context(), j, "lab1", epoch)
	d.must(err)
	if err == nil {
		d.runs = append(d.runs, r)
	}
}

func (d *disorder) add(r orchestrator.Run, i int) {
	d.must(d.db.AddResult(d.t.Context(), r.ID, d.said(r.Job, i)))
}

func (d *disorder) finish(r orchestrator.Run) {
	var all []suites.Status
	for i := range disorderCases {
		d.add(r, i)
		all = append(all, d.said(r.Job, i).Status)
	}
	d.must(d.db.FinishRun(d.t.Context(), ended(r, suites.Summarize(all)), nil))
}

func (d *disorder) drawRun() (orchestrator.Run, bool) {
	if len(d.runs) == 0 {
		return orchestrator.Run{}, false
	}
	return rapid.SampledFrom(d.runs).Draw(d.t, "run"), true
}

func TestDisorderEndsLikeOrder(t *testing.T) {
	db := opened(t)
	_, err := db.w.Exec(`PRAGMA synchronous = OFF`) // nobody pulls the plug here
	ok(t, err)
	world := 0
	rapid.Check(t, func(rt *rapid.T) {
		world++
		d := &disorder{t: rt, db: db}
		b := fmt.Sprintf("%064x", 0xd150000+world)
		for i := range rapid.IntRange(1, 3).Draw(rt, "jobs") {
			j := runJob(1, i)
			j.ID, j.Build, j.Target = fmt.Sprintf("run-%d-%d", world, i), b, fmt.Sprintf("target%d", world)
			d.jobs = append(d.jobs, j)
		}
		job := buildJob(1, 0)
		job.ID, job.Build, job.Target = fmt.Sprintf("build-%d", world), b, d.jobs[0].Target
		made := buildOf(1, suites.Passed)
		made.ID, made.Target = job.Build, job.Target
		d.must(db.Apply(rt.Context(), orchestrator.Decision{Upstream: upstream, Target: job.Target, Jobs: []orchestrator.Job{job}}))
		d.must(db.FinishBuild(rt.Context(), job, made))
		apply := func() {
			if err := db.Apply(rt.Context(), orchestrator.Decision{Upstream: upstream, Target: d.jobs[0].Target, Jobs: d.jobs}); err != nil {
				rt.Fatal(err)
			}
		}
		apply()
		rt.Repeat(map[string]func(*rapid.T){
			"plan":  func(*rapid.T) { apply() },
			"begin": func(rt *rapid.T) { d.begin(rapid.SampledFrom(d.jobs).Draw(rt, "job")) },
			"add": func(rt *rapid.T) {
				if r, any := d.drawRun(); any {
					d.add(r, rapid.IntRange(0, disorderCases-1).Draw(rt, "case"))
				}
			},
			"finish": func(rt *rapid.T) {
				if r, any := d.drawRun(); any {
					d.finish(r)
				}
			},
		})
		for _, j := range d.jobs { // and at last every job is done by somebody
			r, err := db.BeginRun(rt.Context(), j, "lab2", epoch.Add(time.Hour))
			d.must(err)
			if err == nil {
				d.finish(r)
			}
		}
		d.compare()
	})
	if found, err := db.Check(t.Context()); err != nil || len(found) > 0 {
		t.Errorf("check: %v, %v", found, err)
	}
}

// compare holds the store against the clean sequence: each job once.
func (d *disorder) compare() {
	want := map[orchestrator.TallyKey]verdict.Counts{}
	for _, j := range d.jobs {
		for i := range disorderCases {
			res := d.said(j, i)
			k := orchestrator.TallyKey{Build: j.Build, Machine: j.Machine, Case: res.Case}
			n := want[k]
			switch res.Status {
			case suites.Passed, suites.ExpectedFailure:
				n.Passed++
			case suites.Failed:
				n.Failed++
			case suites.Broken:
				n.Broken++
			case suites.Skipped:
				n.Skipped++
			}
			want[k] = n
		}
	}
	v, err := d.db.View(d.t.Context(), upstream, d.jobs[0].Target, testRig)
	if err != nil {
		d.t.Fatal(err)
	}
	if diff := cmp.Diff(want, v.Tallies); diff != "" {
		d.t.Fatalf("tallies (-want +got):\n%s", diff)
	}
	for _, n := range v.Runs {
		if n.Finished != len(d.jobs) || n.Planned != len(d.jobs) {
			d.t.Fatalf("runs %+v, want %d of each", n, len(d.jobs))
		}
	}
	for _, j := range d.jobs {
		if _, err := d.db.BeginRun(d.t.Context(), j, "lab3", epoch); !errors.Is(err, orchestrator.ErrJobDone) {
			d.t.Fatalf("job %s is not done: %v", j.ID, err)
		}
	}
}
