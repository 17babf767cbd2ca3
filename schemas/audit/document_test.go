package audit

import (
	"encoding/json"
	"errors"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"
)

// TestEventsDocument holds the table of docs/events.md against the decoder.
func TestEventsDocument(t *testing.T) {
	text, err := os.ReadFile("../../docs/events.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := regexp.MustCompile("(?m)^\\| `({.*?})` \\| (?:`({.*?})`|quarantine: (\\w+)) \\|").FindAllStringSubmatch(string(text), -1)
	for _, row := range rows {
		sent, stored, reason := row[1], row[2], row[3]
		event := parseObject(t, `{"id":"1","time":"2026-03-02T09:05:00Z","action":"auth.login","outcome":"success","service":{"name":"shop"}}`)
		for key, value := range parseObject(t, sent) {
			event[key] = value
		}
		value, err := json.Marshal(event)
		if err != nil {
			t.Fatal(err)
		}
		rec := coordinates()
		rec.Value = value
		var e Event
		err = NewDecoder().Decode(&rec, &e)
		if reason != "" {
			if reject := (*Reject)(nil); !errors.As(err, &reject) || string(reject.Reason) != reason {
				t.Errorf("%s: %v, want the reason %s", sent, err, reason)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", sent, err)
			continue
		}
		broker := recordTime(rec.Time).Format(time.RFC3339Nano)
		want := parseObject(t, strings.ReplaceAll(stored, "the broker's", broker))
		got := parseObject(t, string(Encode(nil, &e)))
		if path, ok := contains(got, want, ""); !ok {
			t.Errorf("%s is stored as %s, which differs from the document at %s", sent, Encode(nil, &e), path)
		}
		// A mark that the document does not show would be a surprise.
		if len(e.Metadata) > 0 && want["metadata"] == nil {
			t.Errorf("%s is stored with %v", sent, e.Metadata)
		}
	}
	if len(rows) < 15 {
		t.Errorf("the document has %d rows: are they still found?", len(rows))
	}
}

func parseObject(t *testing.T, text string) map[string]any {
	t.Helper()
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	var out map[string]any
	if err := d.Decode(&out); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return out
}

// contains says whether got has everything that want has, or where it has not.
func contains(got, want any, path string) (string, bool) {
	members, ok := want.(map[string]any)
	if !ok {
		return path, got == want
	}
	have, _ := got.(map[string]any)
	for key, value := range members {
		if at, ok := contains(have[key], value, path+"."+key); !ok {
			return at, false
		}
	}
	return "", true
}
