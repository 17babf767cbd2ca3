// Package wire is the binary form of what the match stage writes to audit.matches: match records and clock records.
//
// The bytes are a contract between the two stages, which may run in different versions for a while: they begin with a byte that names kind and
// version, and golden files pin them. It holds no logic about what the records mean.
package wire
