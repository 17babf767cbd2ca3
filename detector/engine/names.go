package engine

import (
	"github.com/zeebo/xxh3"

	"github.com/audittrail/audittrail/detector/rule"
	"github.com/audittrail/audittrail/schemas/audit"
)

// maxDistinct bounds how many distinct names one episode tells apart.
const maxDistinct = 4096

// names collects distinct texts: the first few themselves, of the others only a hash.
type names struct {
	values []string
	seen   map[uint64]struct{}
	// full says that there were more than maxDistinct.
	full bool
}

func (n *names) add(s string) {
	if s == "" {
		return
	}
	s = rule.Shorten(s)
	h := xxh3.HashString(s)
	if _, known := n.seen[h]; known {
		return
	}
	if len(n.seen) >= maxDistinct {
		n.full = true
		return
	}
	if n.seen == nil {
		n.seen = make(map[uint64]struct{})
	}
	n.seen[h] = struct{}{}
	if len(n.values) < audit.MaxAlertNames {
		n.values = append(n.values, s)
	}
}

// merge adds what o holds. Which of o's values are shown may depend on the order of the two; how many there are does not.
func (n *names) merge(o *names) {
	for _, s := range o.values {
		n.add(s)
	}
	for h := range o.seen {
		if _, known := n.seen[h]; known {
			continue
		}
		if len(n.seen) >= maxDistinct {
			n.full = true
			break
		}
		n.seen[h] = struct{}{}
	}
	n.full = n.full || o.full
}

func (n *names) alert() audit.Names {
	return audit.Names{Values: append([]string{}, n.values...), Total: uint64(len(n.seen))}
}
