// Package audit holds the nouns of the audit trail: the Event that applications publish, the Alert that the detector raises, and the codec that
// carries an Event in a Kafka record (CloudEvents 1.0 binary mode, structured mode, or bare JSON).
//
// Encode and EncodeRecord write one canonical form; Decoder reads that form and everything that can be kept of any other, so that a record is
// refused only when it has no readable event in it. What had to be repaired is visible in the event's metadata (MetaTime, MetaWarn, MetaDropped).
//
// The package knows neither Kafka clients nor databases: every other package may import it, and it imports none of them.
package audit
