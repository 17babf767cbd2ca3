package engine

import "container/heap"

// maxCandidates is how many of the least recently matched groups are looked at to find one to give up.
const maxCandidates = 16

// group returns the group of a rule for a key, making it when there is none. It is nil when there is no room for it; the error says that the key is
// none of the rule's. offset and published are those of the match that it is wanted for.
func (p *Partition) group(r *compiled, key []byte, offset, published int64) (*group, error) {
	if g := r.groups[string(key)]; g != nil {
		if p.last != g {
			p.unchain(g)
			p.chain(g)
		}
		return g, nil
	}
	if _, err := r.grouping.Values(string(key)); err != nil {
		return nil, err
	}
	if p.groups >= p.maxGroups && !p.makeRoom(offset, published) {
		p.stats.Refused++
		return nil, nil
	}
	g := &group{rule: r, key: string(key)}
	r.groups[g.key] = g
	p.groups++
	p.chain(g)
	return g, nil
}

// makeRoom gives up one group: one that holds nothing or else, of those without a match for the longest time, the one with the fewest events and
// none with an episode. So many groups of one event each cannot push out one that is close to its threshold. It reports whether there was one.
//
// The chain is in the order of each group's last match, which a replay restores: all replicas give up the same group.
func (p *Partition) makeRoom(offset, published int64) bool {
	need := p.need(offset)
	if p.swept < p.clock.now { // else nothing more can have died since
		p.sweep()
		p.dropEmpty(need)
		if p.groups < p.maxGroups {
			return true
		}
	}
	var victim *group
	for g, n := p.first, 0; g != nil && n < maxCandidates; g, n = g.next, n+1 {
		if !g.busy() && (victim == nil || len(g.win.entries) < len(victim.win.entries)) {
			victim = g
		}
	}
	p.pin.at(need)
	if victim == nil {
		p.pin.dropped(published + p.longest)
		return false
	}
	p.stats.Evicted++
	p.pin.dropped(victim.published + p.longest)
	p.forget(victim)
	return true
}

// need is the offset from which the present state can be rebuilt: offset, where the next record stands, when it is empty.
func (p *Partition) need(offset int64) int64 {
	if p.pin.set {
		return p.pin.offset // it is the smallest: groups made later need only what came later
	}
	for g := p.first; g != nil; g = g.next {
		offset = min(offset, g.need(offset))
	}
	return offset
}

// need is the offset from which the group can be rebuilt, or offset when it holds nothing.
func (g *group) need(offset int64) int64 {
	if g.pin.set {
		return g.pin.offset
	}
	return g.win.firstOffset(offset)
}

// sweep forgets the groups that hold nothing any more. That changes no decision: what is dead is ignored anyway.
func (p *Partition) sweep() {
	now := p.clock.now
	p.swept = now
	before := p.pin
	p.pin.release(now, false)
	for g := p.first; g != nil; {
		next := g.next
		g.win.expire(now, g.rule.life)
		if g.pin.set && before.set && !p.pin.set {
			// The group's pin trusts that a replay from there gives it the same neighbours. While the partition was pinned, that was not so.
			g.pin.offset = min(g.pin.offset, before.offset)
		}
		g.pin.release(now, g.busy())
		if len(g.win.entries) == 0 && !g.busy() && !g.pin.set {
			p.forget(g)
		}
		g = next
	}
}

// dropEmpty forgets the groups that hold nothing but a pin, and pins the partition instead.
func (p *Partition) dropEmpty(need int64) {
	for g := p.first; g != nil; {
		next := g.next
		if len(g.win.entries) == 0 && !g.busy() {
			p.pin.at(need)
			p.pin.dropped(max(g.pin.strays, g.pin.until))
			p.forget(g)
		}
		g = next
	}
}

func (p *Partition) forget(g *group) {
	if g.due != 0 {
		heap.Remove(&p.due, g.index)
		g.due = 0
	}
	delete(g.rule.groups, g.key)
	p.unchain(g)
	p.groups--
}

func (p *Partition) chain(g *group) {
	g.prev, g.next = p.last, nil
	if p.last == nil {
		p.first = g
	} else {
		p.last.next = g
	}
	p.last = g
}

func (p *Partition) unchain(g *group) {
	if g.prev == nil {
		p.first = g.next
	} else {
		g.prev.next = g.next
	}
	if g.next == nil {
		p.last = g.prev
	} else {
		g.next.prev = g.prev
	}
	g.prev, g.next = nil, nil
}
