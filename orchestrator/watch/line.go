package watch

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/headwatch/headwatch/orchestrator"
)

const (
	maxNew   = 50_000  // commits that one Update names, at most
	maxLine  = 1 << 20 // commits of a line searched for where two lines part
	firstLap = 256     // commits of each line read at first; most updates need no more
)

// since says what is new on head's line since known.
func (m *Mirror) since(ctx context.Context, head, known string) (orchestrator.Update, error) {
	u := orchestrator.Update{Head: head}
	if head == known {
		return u, nil
	}
	have := false
	if known != "" {
		var err error
		if have, err = m.has(ctx, known); err != nil {
			return u, err
		}
	}
	var notes []string
	want := m.cfg.Backfill
	switch {
	case known == "":
	case !have:
		notes = append(notes, fmt.Sprintf("known head %s is not in the mirror: taking the newest %d commits", known, want))
	default:
		p, err := m.part(ctx, head, known)
		if err != nil {
			return u, err
		}
		var note string
		want, u.Dropped, note = p.decide(known, want)
		if note != "" {
			notes = append(notes, note)
		}
	}
	if m.shallow() {
		notes = append(notes, "the upstream's history is incomplete: positions count from where it begins")
	}
	var err error
	u.New, err = m.commits(ctx, head, want)
	u.Note = strings.Join(notes, "; ")
	return u, err
}

// parting is where two first-parent lines part, seen from their tips.
type parting struct {
	meet    bool
	ahead   int      // commits of the new line before the first shared one
	dropped []string // commits of the old line before it, tip first
}

// decide turns a parting into how many commits are new, which are dropped, and
// what the log should know.
func (p parting) decide(known string, backfill int) (want int, dropped []string, note string) {
	switch {
	case !p.meet:
		note = fmt.Sprintf("history was rewritten: known head %s has nothing in common with the branch; taking the newest %d commits", known, backfill)
		return backfill, bounded(p.dropped), note
	case len(p.dropped) > 0:
		note = fmt.Sprintf("history was rewritten: %d commits from %s on left the line", len(p.dropped), known)
	}
	if p.ahead > maxNew {
		note = strings.TrimPrefix(fmt.Sprintf("%s; %d commits are new, taking the newest %d", note, p.ahead, maxNew), "; ")
	}
	return min(p.ahead, maxNew), bounded(p.dropped), note
}

func bounded(dropped []string) []string { return dropped[:min(len(dropped), maxNew)] }

// part finds where the lines of head and known part. It reads both from their
// tips in growing laps, for they mostly meet soon.
func (m *Mirror) part(ctx context.Context, head, known string) (parting, error) {
	for lap := firstLap; ; lap = min(lap*16, maxLine) {
		a, err := m.firstParents(ctx, head, lap)
		if err != nil {
			return parting{}, err
		}
		b, err := m.firstParents(ctx, known, lap)
		if err != nil {
			return parting{}, err
		}
		p := meet(a, b)
		if p.meet || lap == maxLine || (len(a) < lap && len(b) < lap) {
			return p, nil
		}
	}
}

// meet finds the first commit that two lines share, each given from its tip
// down. Below it they are the same, since a commit has one first parent.
func meet(line, old []string) parting {
	at := make(map[string]int, len(line))
	for i, hash := range line {
		at[hash] = i
	}
	for i, hash := range old {
		if ahead, ok := at[hash]; ok {
			return parting{meet: true, ahead: ahead, dropped: slices.Clip(old[:i])}
		}
	}
	return parting{ahead: len(line), dropped: old}
}

// firstParents lists the newest n commits of a tip's line, the tip first.
func (m *Mirror) firstParents(ctx context.Context, tip string, n int) ([]string, error) {
	out, err := m.git.output(ctx, n*(maxHash+1), "rev-list", "--first-parent", "--max-count="+strconv.Itoa(n), "--end-of-options", tip)
	return strings.Fields(string(out)), err
}

// commits describes the newest n commits of head's line, oldest first.
func (m *Mirror) commits(ctx context.Context, head string, n int) ([]orchestrator.Commit, error) {
	if n == 0 {
		return nil, nil
	}
	count, err := m.git.line(ctx, "rev-list", "--count", "--first-parent", "--end-of-options", head)
	if err != nil {
		return nil, err
	}
	position, err := strconv.Atoi(count)
	if err != nil {
		return nil, fmt.Errorf("git rev-list --count printed %q", count)
	}
	log := logReader{upstream: m.cfg.Upstream, position: position}
	_, err = m.git.run(ctx, nil, &log, "log", "-z", "--first-parent", "--no-patch", "--no-color", "--no-mailmap", "--encoding=UTF-8",
		"--max-count="+strconv.Itoa(n), "--format="+logFormat, "--end-of-options", head)
	if err != nil {
		return nil, err
	}
	commits, err := log.End()
	slices.Reverse(commits)
	return commits, err
}

// has says whether the mirror holds a commit.
func (m *Mirror) has(ctx context.Context, hash string) (bool, error) {
	_, found, err := m.lookUp(ctx, hash)
	return found == one, err
}
