package main

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/audittrail/audittrail/consumer"
)

// writeQuarantined prints a record for a person. What comes from the record may be anybody's: it can neither drive the terminal nor pass for one of the
// lines around it.
func writeQuarantined(w io.Writer, q *consumer.Quarantined) error {
	var b strings.Builder
	field := func(name, value string) { fmt.Fprintf(&b, "%-10s %s\n", name, value) }
	field("place", q.Place())
	field("topic id", q.TopicID.String())
	field("time", q.Time.UTC().Format(time.RFC3339Nano))
	field("stage", q.Stage)
	field("reason", q.Reason)
	field("error", readableLine(q.Error))
	if q.Key != "" {
		field("key", readableLine(q.Key))
	}
	for _, h := range q.Headers {
		field("header", readableLine(h.Key)+": "+readableLine(h.Value))
	}
	switch {
	case len(q.Value) == 0:
		field("value", "none")
	case isText(q.Value):
		field("value", fmt.Sprintf("%d bytes of text", len(q.Value)))
		for line := range strings.SplitSeq(strings.TrimSuffix(string(q.Value), "\n"), "\n") {
			fmt.Fprintf(&b, "  | %s\n", escapeControls(line))
		}
	default:
		field("value", fmt.Sprintf("%d bytes, not text", len(q.Value)))
		for line := range strings.Lines(hex.Dump(q.Value)) {
			b.WriteString("  | " + line)
		}
	}
	b.WriteString("\n")
	_, err := io.WriteString(w, b.String())
	return err
}

func isText(b []byte) bool { return utf8.Valid(b) && !bytes.ContainsRune(b, 0) }

// readableLine is s on one line: text as it is with control characters escaped, anything else quoted with its bytes.
func readableLine(s string) string {
	if !isText([]byte(s)) {
		return strconv.QuoteToASCII(s)
	}
	return escapeControls(s)
}

// escapeControls escapes what a terminal would not show as a character: controls, and marks that turn the direction of text.
func escapeControls(s string) string {
	if strings.IndexFunc(s, isHidden) < 0 {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		if !isHidden(r) {
			b.WriteRune(r)
			continue
		}
		quoted := strconv.QuoteRuneToASCII(r)
		b.WriteString(quoted[1 : len(quoted)-1])
	}
	return b.String()
}

func isHidden(r rune) bool { return r != '\t' && !unicode.IsPrint(r) }
