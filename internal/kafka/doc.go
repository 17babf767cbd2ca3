// Package kafka is how every part reaches Kafka: connection options, the topics that the product owns, and the bridge between franz-go's records and
// the codec's. It holds no consumer or producer logic: the services do their own polling.
package kafka
