package filter

import (
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"

	"github.com/audittrail/audittrail/internal/embedded/enginetest"
)

func TestMain(m *testing.M) { os.Exit(enginetest.Main(m)) }

// testEngine is the package's embedded ClickHouse.
type testEngine struct{ url string }

// newTestEngine skips the test when the library is not on this machine, except in CI.
func newTestEngine(t *testing.T) *testEngine {
	t.Helper()
	return &testEngine{enginetest.URL(t)}
}

// ask returns the rows of a query as TabSeparated text.
func (e *testEngine) ask(t testing.TB, sql string, params []Param) string {
	t.Helper()
	values := url.Values{}
	for _, p := range params {
		values.Set("param_"+p.Name, p.Value)
	}
	answer, err := http.Post(e.url+"/?"+values.Encode(), "text/plain", strings.NewReader(sql))
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s, %v\n%v\n%s", answer.Status, body, err, params, sql[:min(len(sql), 4000)])
	}
	return string(body)
}
