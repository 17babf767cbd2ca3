// Package suggest guesses which name was meant by one that does not exist. It knows no names itself.
package suggest

import "slices"

// Nearest returns the one of names that was probably meant by name, "" when none is near.
func Nearest(name string, names []string) string {
	best, bestDistance := "", Allowance(name)+1
	for _, known := range names {
		if d := Distance(name, known); d < bestDistance {
			best, bestDistance = known, d
		}
	}
	return best
}

// Allowance is how many typing errors in a name are believed.
func Allowance(name string) int { return min(1+len(name)/4, 4) }

// Distance counts the insertions, deletions, replacements and swaps of neighbours that turn a into b (optimal string alignment). Names are
// short; a longer a is far from everything.
func Distance(a, b string) int {
	if len(a) > 64 {
		return len(a)
	}
	before, last := make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row := make([]int, len(b)+1)
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = slices.Min([]int{last[j] + 1, row[j-1] + 1, last[j-1] + cost})
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last = last, row
	}
	return last[len(b)]
}
