package main

import (
	"fmt"
	"strings"

	"github.com/alecthomas/kong"
)

// examples are shown in the help of the commands.
var examples = map[string][]string{
	"up":                 {"audittrail up", "audittrail up --data /var/lib/audittrail --listen 127.0.0.1:8080"},
	"consumer":           {"audittrail consumer --kafka kafka-1:9092,kafka-2:9092 --clickhouse http://clickhouse:8123"},
	"detector":           {"audittrail detector --kafka kafka-1:9092,kafka-2:9092"},
	"queryapi":           {"audittrail queryapi --clickhouse http://clickhouse:8123"},
	"clickhouse":         {"audittrail clickhouse --data ./data"},
	"import sshd":        {"audittrail import sshd /var/log/auth.log --year 2026 --zone Europe/Berlin"},
	"import ndjson":      {"audittrail import ndjson events.ndjson", "zcat old.gz | audittrail import ndjson -"},
	"generate":           {"audittrail generate --count 10000", "audittrail generate --rate 200 --kafka kafka:9092"},
	"verify":             {"audittrail verify", "audittrail verify --from 2026-11-01 --to 2026-11-30 --repair"},
	"quarantine list":    {"audittrail quarantine list --since 24h"},
	"quarantine show":    {"audittrail quarantine show audit.events/0/42"},
	"quarantine redrive": {"audittrail quarantine redrive --place audit.events/0/42"},
	"topics":             {"audittrail topics --kafka kafka:9092 --partitions 24", "audittrail topics --kafka kafka:9093 --kafka-tls --kafka-ca ca.pem --kafka-sasl SCRAM-SHA-512 --kafka-user trail"},
	"migrate":            {"audittrail migrate --clickhouse http://clickhouse:8123"},
	"version":            {"audittrail version"},
}

// addExamples puts the examples into the help of the commands below n.
func addExamples(n *kong.Node, path string) {
	for _, child := range n.Children {
		name := strings.TrimSpace(path + " " + child.Name)
		if lines := examples[name]; len(lines) > 0 {
			child.Detail = "Example:\n\n    " + strings.Join(lines, "\n    ")
		}
		addExamples(child, name)
	}
}

// flagHelp is the help of a flag with its default, where the parser's own form does not show it, and its variable.
func flagHelp(v *kong.Value) string {
	var more []string
	if v.Tag.PlaceHolder != "" && v.Default != "" {
		more = append(more, "default "+v.Default)
	}
	for _, name := range v.Tag.Envs {
		more = append(more, "$"+name)
	}
	if len(more) == 0 {
		return v.Help
	}
	return fmt.Sprintf("%s (%s).", strings.TrimSuffix(v.Help, "."), strings.Join(more, ", "))
}
