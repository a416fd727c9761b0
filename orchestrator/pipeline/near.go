package pipeline

import "strings"

// listed is the number of names up to which a message lists them all.
const listed = 12

// hint helps with a word that is none of the candidates: the one that was
// probably meant, or else all of them. It does not search for a problem that is
// only going to be counted.
func (p *problems) hint(word string, candidates []string) string {
	if p.full() {
		return ""
	}
	if c := near(word, candidates); c != "" {
		return "did you mean " + quote(c) + "?"
	}
	switch {
	case len(candidates) == 0:
		return "there are none"
	case len(candidates) > listed:
		return "expected one of the names that are defined"
	}
	return "expected " + oneOf(candidates)
}

// near finds the candidate that a misspelt word probably means: at most two
// slips away, one for a short word. It returns "" when none is near. Of equally
// near ones the first wins.
func near(word string, candidates []string) string {
	const longest = 60 // bytes; names are at most 40
	if len(word) > longest {
		return ""
	}
	word = strings.ToLower(word)
	limit := 2
	if len(word) < 5 {
		limit = 1
	}
	found := ""
	for _, c := range candidates {
		if d := distance(word, c); d <= limit {
			found, limit = c, d-1
		}
	}
	return found
}

// distance counts the bytes to insert, delete, replace or swap with their
// neighbour to make b of a (optimal string alignment).
func distance(a, b string) int {
	before, above, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range above {
		above[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(above[j]+1, row[j-1]+1, above[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, above, row = above, row, before
	}
	return above[len(b)]
}
