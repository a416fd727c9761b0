package verdict

// Standing says what is known of a failure's signature. The zero value is invalid.
type Standing string

// Standings.
const (
	// Unseen: no build before showed it. It is told at once: a panic that never
	// happened before needs no statistics.
	Unseen Standing = "new"
	// Flake: it came and went on builds that were good otherwise. It is told when its
	// rate changes, see Rate.
	Flake Standing = "flake"
	// Persistent: it shows on every build since it came, or nearly.
	Persistent Standing = "persistent"
	// Sporadic: it was seen before, too seldom to say which of both it is.
	Sporadic Standing = "sporadic"
	// Absent: the newest build does not show it.
	Absent Standing = "absent"
)

// flakeVisits is how often a signature must have come and gone to be a flake: once
// may be a bug and its fix.
const flakeVisits = 2

// StandingOf judges a signature by the boots of each build, oldest first: Failed are
// those that ended with this signature, Passed those in which the same case passed.
// Boots that ended otherwise are in neither. The last build is the one asked about.
func StandingOf(builds []Counts) Standing {
	if len(builds) == 0 || builds[len(builds)-1].Failed == 0 {
		return Absent
	}
	before := builds[:len(builds)-1]
	visits, seen, here := 0, false, false
	mixed, clean, hit := 0, 0, 0 // builds since it was seen first
	for _, b := range before {
		switch {
		case b.Failed > 0:
			if b.Passed > 0 {
				mixed++
			}
			seen, here = true, true
			hit++
		case b.Passed > 0 && seen:
			clean++
			if here {
				visits++
			}
			here = false
		}
	}
	switch {
	case !seen:
		return Unseen
	case visits >= flakeVisits, mixed >= flakeVisits:
		return Flake
	case clean == 0 && mixed == 0 && hit >= flakeVisits:
		return Persistent
	}
	return Sporadic
}
