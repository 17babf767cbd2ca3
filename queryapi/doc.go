// Package queryapi answers questions about the trail: it searches the events and the alerts in ClickHouse for a caller, page by page, and never shows
// more than the caller's Scope. It speaks values and errors; package queryapi/http puts them on HTTP paths.
//
// It writes nothing, and it keeps no copy of what it reads.
package queryapi
