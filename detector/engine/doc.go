// Package engine is the pure part of the correlate stage: from the records of one partition of audit.matches, in order, to the alerts that they
// mean.
//
// It is deterministic. Time comes only from the records, nothing is drawn at random, and no order depends on a map: the same records give the same
// alerts, with the same ids and versions, wherever a batch or a restart cuts them (invariant 5). It knows no Kafka client.
//
// # Windows
//
// The condition holds at an event when the half-open window (t − timespan, t] that ends with it holds threshold distinct events of its group, in
// event time. Events may arrive in any order; each one makes the windows that it falls into be examined again. An event lives until the clock is two
// timespans and the lateness past its publication (its Kafka time): two events that are a timespan apart at most, each published within the
// lateness, always meet. A group keeps the newest events, threshold × (3 + allowance/timespan) of them: when there are more that are not late, an alert
// was raised before the first is dropped.
//
// An event is late when it is older than the newest of its group − timespan − allowance. It is counted, since some of its window may be gone, and then
// treated like any other: what it completes is real, and what it does not complete is left to a back-test.
//
// # Episodes
//
// Times at which the condition held that are less than ResolveAfter apart are one episode, and an episode is one alert. It is opened at the first
// such time, updated each time its count has doubled, and resolved once no event that is not late can make it longer: by a later event of the group,
// or by the clock. A further episode close by that begins before that waits: events that are not late may still join the two. So events that are
// shuffled within the allowance give the same episodes, to the last count, as in order. An episode that was resolved is opened again (same
// id, next version) when events turn up within the next ResolveAfter of the clock that belong to it, as after a pause in an import; and then only the
// clock resolves it, or events of two times that come in turns would open and resolve it for ever. The alert counts the events in windows that held.
//
// # Recovery
//
// Rewind names the offset from which a replay ends in the same state, with the clock at that point. See pin for why that is exact.
package engine
