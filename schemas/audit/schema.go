package audit

import _ "embed" // for the schemas

//go:embed event.schema.json
var eventSchema string

//go:embed alert.schema.json
var alertSchema string

// EventSchema returns the JSON Schema (draft 2020-12) of the JSON that Encode writes for an event that Validate passes.
func EventSchema() []byte { return []byte(eventSchema) }

// AlertSchema returns the JSON Schema (draft 2020-12) of an Alert's JSON.
func AlertSchema() []byte { return []byte(alertSchema) }
