// Package detector watches the stream of audit events and raises alerts: first of all, five failed logins from one source within a minute.
//
//	audit.events            audit.matches                 audit.alerts
//	(any key)               (key: the rule's group)       (key: alert id)
//	     │                     ▲           │                    ▲
//	     ▼                     │           ▼                    │
//	 ┌── match ────────────────┴──┐    ┌── correlate ───────────┴────────────┐
//	 │ decode, evaluate each rule │    │ windows and episodes of its groups  │
//	 │ one small record a match   │    │ new versions of alerts              │
//	 │ clock records, every 1 s   │    │ rewind offset in the commit         │
//	 └────────────────────────────┘    └─────────────────────────────────────┘
//	   one transaction:                  one transaction:
//	   offsets, matches, clock           offsets, alerts
//
// Events have whatever key suits their producers, and rules group them in whatever way suits the rule: only matches travel, about a hundred bytes each.
// Both stages run in one process by default, and apart if wanted (Options.Stages); each worker is one member of its stage's consumer
// group, and workers share nothing.
//
// # Time is data
//
// No decision reads a wall clock. Events happened when they say so, and windows are in that time. What only passing time can decide (an alert is
// over, a group holds nothing any more) follows the clock: match workers write to every partition of audit.matches up to which Kafka time each of their
// source partitions is matched, and the slowest of all is the clock of the correlate stage. So a log of 2017 that is imported today works beside live
// traffic, an idle topic still resolves its alerts, and the same audit.matches gives the same alerts, with the same ids and versions, on any
// worker and after any replay (invariant 5). The parts that are pure are in packages of their own: rule (what is a match), wire (what is written), engine
// (what it means).
//
// # Recovery
//
// Nothing is kept on disk. A partition's state is rebuilt by replaying audit.matches from the rewind offset that stands in the metadata of its last
// commit, up to that commit, without publishing anything again. That happens when a partition is gained, and when a transaction is aborted: the
// records that were polled come again, so memory must go back as well. While an episode is open, its replay begins before it; the longer an attack, the
// longer the replay. If the log does not reach back so far, that is an alarm (audittrail_detector_gaps_total), and the detector goes on.
//
// A crash at any point leaves either the whole transaction or nothing of it. Transactional ids are stable for an instance, so the next run fences the
// last; every transaction carries offsets, so that one of a worker that is not in its group any more is refused.
//
// # When things go wrong
//
// Bad data never ends the process: records that cannot be read are counted and skipped, and the consumer keeps them. A worker that fails starts over.
// Unknown own state does end it: commit metadata that this version cannot read (invariant 3). Memory is bounded by configuration (invariant 7): the
// events of a group by its rule, the groups of a partition by Options.MaxGroups, the records in flight by the size of a fetch.
//
// It knows one kind of condition so far, event_count with gte, and windows up to 15 minutes; rule files, the other kinds, longer windows and episodes
// in audit.detector-state are to come, as is the notifier, which will be a package below this one.
package detector
