package suggest

import (
	"strings"
	"testing"
)

func TestNearest(t *testing.T) {
	names := []string{"limit", "from", "to", "source_ip", "AUDITTRAIL_KAFKA", "AUDITTRAIL_KAFKA_LISTEN"}
	for name, want := range map[string]string{
		"limt": "limit", "form": "from", "lmiit": "limit", "sourceip": "source_ip", "AUDITTRAIL_KAKFA": "AUDITTRAIL_KAFKA",
		"AUDITTRAIL_KAFKA_LISTN": "AUDITTRAIL_KAFKA_LISTEN", "xyzzy": "", "": "", strings.Repeat("limit", 20): "",
	} {
		if got := Nearest(name, names); got != want {
			t.Errorf("for %q: %q, want %q", name, got, want)
		}
	}
}
