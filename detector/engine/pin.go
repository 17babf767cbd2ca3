package engine

// pin remembers where a replay has to begin so that it ends in the same state.
//
// As long as nothing that is still alive was ever thrown away and no episode depends on it, a state is nothing but the records of the last while:
// whoever replays from the first of them, or from anywhere before it, arrives at the same state. When a record that is alive has to be dropped (a
// group has more than its capacity, a partition more groups than allowed) or an episode begins, that is no longer so, and the pin keeps the
// offset that still was right. It is kept until the state is again nothing but the records of the last while: a replay that begins later would
// lack what pushed out the dropped records, so it would hold them until they would have died anyway (strays), and might drop others for them, whose
// absence is felt until those would have died (until).
type pin struct {
	set    bool
	offset int64
	// strays and until are Kafka times in milliseconds.
	strays, until int64
}

// at sets the pin, unless it is set already: an earlier one covers all that comes later.
func (p *pin) at(offset int64) {
	if !p.set {
		*p = pin{set: true, offset: offset}
	}
}

// dropped notes that a record was dropped that would have lived until then.
func (p *pin) dropped(dies int64) { p.strays = max(p.strays, dies) }

// saw notes that a record was taken in that lives until then. busy says that episodes depend on the state.
func (p *pin) saw(dies, now int64, busy bool) {
	if p.set && (busy || now < p.strays) {
		p.until = max(p.until, dies)
	}
}

// release takes the pin away when it is no longer needed.
func (p *pin) release(now int64, busy bool) {
	if p.set && !busy && now >= p.strays && now >= p.until {
		*p = pin{}
	}
}
