// Package http serves package queryapi over HTTP: paths, the forms of answers, problems (RFC 9457), and what keeps foreign web pages and overload out.
// The paths are those of schemas/openapi.yaml. It decides nothing about what a caller may see, and it listens to nothing: it is a handler.
package http
