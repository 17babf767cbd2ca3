package ops

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestReadinessSaysWhatIsMissing(t *testing.T) {
	var h Health
	mux := Handler(NewRegistry(), &h)
	get := func(path string) (int, string) {
		rec := httptest.NewRecorder()
		mux.ServeHTTP(rec, httptest.NewRequest(http.MethodGet, path, nil))
		body, _ := io.ReadAll(rec.Body)
		return rec.Code, string(body)
	}
	expect := func(path string, code int, body string) {
		t.Helper()
		if c, b := get(path); c != code || b != body {
			t.Errorf("%s answered %d %q, want %d %q", path, c, b, code, body)
		}
	}
	expect("/readyz", 200, "ok\n")
	kafka, ch := h.Check("kafka"), h.Check("clickhouse")
	expect("/readyz", 503, "clickhouse: starting\nkafka: starting\n")
	kafka.Set(nil)
	ch.Set(errors.New("connection refused"))
	expect("/readyz", 503, "clickhouse: connection refused\n")
	expect("/livez", 200, "ok\n")
	ch.Set(nil)
	expect("/readyz", 200, "ok\n")
	if code, body := get("/metrics"); code != 200 || !strings.Contains(body, "audittrail_build_info{") {
		t.Errorf("/metrics answered %d without the build's version", code)
	}
}

func TestNewLogger(t *testing.T) {
	var out bytes.Buffer
	log, err := NewLogger(&out, "json", "warn")
	if err != nil {
		t.Fatal(err)
	}
	log.Info("quiet")
	log.Warn("loud", "n", 1)
	if got := out.String(); strings.Contains(got, "quiet") || !strings.Contains(got, `"msg":"loud","n":1`) {
		t.Errorf("logged %q", got)
	}
	for _, bad := range [][2]string{{"xml", "info"}, {"text", "chatty"}} {
		if _, err := NewLogger(&out, bad[0], bad[1]); err == nil || !strings.Contains(err.Error(), `"xml"`) && !strings.Contains(err.Error(), `"chatty"`) {
			t.Errorf("NewLogger(%q) gave %v", bad, err)
		}
	}
}
