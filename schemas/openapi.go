// Package schemas holds the description of the HTTP API. The formats of events and the tables are in its subfolders.
package schemas

import (
	_ "embed"
)

//go:embed openapi.yaml
var openAPI []byte

// OpenAPI is the OpenAPI 3.1 description of the query API, in YAML. The bytes must not be changed.
func OpenAPI() []byte { return openAPI }
