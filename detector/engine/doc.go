// Package engine is the pure part of the correlate stage: from the records of one partition of audit.matches, in order, to the alerts that they
// mean.
//
// It is deterministic. Time comes only from the records, nothing is drawn at random, and no order depends on a map: the same records give the same
// alerts, with the same ids and versions, wherever a batch or a restart cuts them (invariant 5). It knows no Kafka client.
//
// # Windows
//
// The condition holds at an event when the half-open window (t − timespan, t] that ends with it holds threshold distinct events of its group, in
// event time. Events may arrive in any order; each insertion re-examines the windows that the event falls into. An event that is older than the
// newest of its group − timespan − allowance is late: it is kept, for later events may need it, but makes nothing hold. An event lives until the clock
// is two timespans and the lateness past its publication. A group keeps the newest events, as many as guarantee that an alert was raised
// before one is dropped.
//
// # Episodes
//
// Times at which the condition held that are less than ResolveAfter apart are one episode, and an episode is one alert. It is opened at the first
// such time, updated each time its count has doubled, and resolved once no event that is not late can make it longer: by a later event of the group,
// or by the clock. When the first events of a further episode arrive before that, they wait: late comers may still join the two. So events
// that are shuffled within the allowance give the same episodes as in order. An episode that the clock has resolved is opened again (same
// id, next version) when events turn up that belong to it, as after a pause in an import. Of the episode the alert counts the events in windows that held.
//
// # Recovery
//
// Rewind names the offset from which a replay ends in the same state, with the clock at that point. See pin for why that is exact.
package engine
