package filter

import (
	"strings"

	"github.com/audittrail/audittrail/internal/suggest"
)

// nearestField returns the canonical name of the field that was most likely meant by name, "" when none is near. One part of a path (ip, user, status)
// stands for the field that ends or begins with it, of several for the one that is a name.
func nearestField(name string) string {
	name = strings.ToLower(name)
	if name != "" && strings.HasPrefix(metadataPrefix, name) && len(name) >= len("meta") {
		return metadataPrefix + "KEY"
	}
	best, bestDistance := "", 2*(suggest.Allowance(name)+1)
	for _, f := range fields {
		for _, known := range append([]string{f.Name}, f.Aliases...) {
			distance := 2 * suggest.Distance(name, known)
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
