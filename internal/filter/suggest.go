package filter

import (
	"slices"
	"strings"
)

// nearestField returns the canonical name of the field that was most likely meant by name, "" when none is near. One part of a path (ip, user, status)
// stands for the field that ends or begins with it, of several for the one that is a name.
func nearestField(name string) string {
	name = strings.ToLower(name)
	if name != "" && strings.HasPrefix(metadataPrefix, name) && len(name) >= len("meta") {
		return metadataPrefix + "KEY"
	}
	best, bestDistance := "", 2*(allowance(name)+1)
	for _, f := range fields {
		for _, known := range append([]string{f.Name}, f.Aliases...) {
			distance := 2 * editDistance(name, known)
			first, last := known[:strings.IndexByte(known+".", '.')], known[strings.LastIndexByte(known, '.')+1:]
			if distance > 0 && (last == name || first == name) {
				distance = 1
			}
			if distance < bestDistance || distance == 1 && bestDistance == 1 && known == name+".name" {
				best, bestDistance = f.Name, distance
			}
		}
	}
	return best
}

// nearest returns the one of names that is nearest to name, "" when none is near.
func nearest(name string, names []string) string {
	best, bestDistance := "", allowance(name)+1
	for _, known := range names {
		if d := editDistance(strings.ToLower(name), known); d < bestDistance {
			best, bestDistance = known, d
		}
	}
	return best
}

// allowance is how many typing errors are believed.
func allowance(name string) int { return min(1+len(name)/4, 4) }

// editDistance counts the insertions, deletions, replacements and swaps of neighbours that turn a into b (optimal string alignment). Names are
// short; a longer a is far from everything.
func editDistance(a, b string) int {
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
