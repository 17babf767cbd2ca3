package main

import (
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/audittrail/audittrail/consumer"
)

func TestQuarantinedIsReadable(t *testing.T) {
	record := consumer.Quarantined{
		Topic: "audit.events", TopicID: uuid.MustParse("4273d0ed-0b1b-2752-5938-f0730ff21262"), Partition: 2, Offset: 9,
		Time: time.Date(2026, 11, 25, 16, 6, 11, 934_000_000, time.UTC), Stage: "decode", Reason: "bad_json", Error: "bad_json: unexpected\nbyte",
		Key: "\xff1", Headers: []consumer.QuarantinedHeader{{Key: "ce_type", Value: "x\x1b[2J"}, {Key: "ce_id", Value: "7"}, {Key: "ce_type", Value: "y"}},
	}
	head := `place      audit.events/2/9
topic id   4273d0ed-0b1b-2752-5938-f0730ff21262
time       2026-11-25T16:06:11.934Z
stage      decode
reason     bad_json
error      bad_json: unexpected\nbyte
key        "\xff1"
header     ce_type: x\x1b[2J
header     ce_id: 7
header     ce_type: y
`
	for value, want := range map[string]string{
		"": "value      none\n",
		"{\n\t\"grüße\": \"\x1b]0;owned\a\"\u202e}\r\n": "value      32 bytes of text\n  | {\n  | \t\"grüße\": \"\\x1b]0;owned\\a\"\\u202e}\\r\n",
		"\x00\x01\xff\xfe":                      "value      4 bytes, not text\n  | 00000000  00 01 ff fe                                       |....|\n",
		"{\"action\":\"\xff":                    "value      12 bytes, not text\n  | 00000000  7b 22 61 63 74 69 6f 6e  22 3a 22 ff              |{\"action\":\".|\n",
		"x\nplace      audit.events/0/1 forged": "value      36 bytes of text\n  | x\n  | place      audit.events/0/1 forged\n",
	} {
		record.Value = []byte(value)
		var b strings.Builder
		if err := writeQuarantined(&b, &record); err != nil {
			t.Fatal(err)
		}
		if got := b.String(); got != head+want+"\n" {
			t.Errorf("%q is shown as\n%s\nwant\n%s", value, got, head+want)
		}
	}
}
