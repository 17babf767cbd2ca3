// Package suggest guesses which name was meant by one that does not exist. It knows no names itself.
package suggest

// Nearest returns the one of names that was probably meant by name, "" when none is near.
func Nearest(name string, names []string) string {
	const longest = 64 // a longer name is no typing error of ours
	if len(name) > longest {
		return ""
	}
	best, bestDistance := "", min(2+len(name)/4, 4) // up to two swapped letters
	for _, known := range names {
		if d := distance(name, known); d < bestDistance {
			best, bestDistance = known, d
		}
	}
	return best
}

// distance counts the insertions, deletions and replacements of bytes that turn a into b.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost = 1 + min(diagonal, row[j], row[j+1])
			}
			diagonal, row[j+1] = row[j+1], cost
		}
	}
	return row[len(b)]
}
