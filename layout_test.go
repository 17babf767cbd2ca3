// Package audittrail_test holds the tests that are about the repository as a whole.
package audittrail_test

import (
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/audittrail/audittrail/"

// mayImport says which of our own packages a folder may import; what is not listed is forbidden. The longest matching folder counts. The order is
// cmd → services → internal → schemas, and services meet only in topics, tables and schemas.
var mayImport = map[string][]string{
	"schemas":             {"schemas/"},
	"internal/run":        {},
	"internal/suggest":    {},
	"internal/ops":        {},
	"internal/certs":      {"internal/certs"},
	"internal/filter":     {"internal/suggest", "schemas/audit"},
	"internal/kafka":      {"schemas/audit"},
	"internal/clickhouse": {},
	"internal/embedded":   {"internal/embedded/"},
	"producer":            {"producer", "internal/kafka", "internal/certs", "internal/ops", "schemas/"},
	"consumer":            {"consumer/", "internal/", "schemas/", "producer"},
	"detector":            {"detector/", "internal/", "schemas/", "producer"},
	"queryapi":            {"queryapi", "internal/", "schemas", "producer"},
	"bench":               {"bench/internal/", "internal/", "schemas/", "producer", "consumer", "detector", "queryapi"},
	"cmd":                 {"internal/", "schemas", "producer", "consumer", "detector", "queryapi"},
}

// onlyIn says which folders may import a third-party module: each adapter has one home.
var onlyIn = map[string][]string{
	"github.com/twmb/franz-go/pkg/kfake":       {"internal/embedded"},
	"github.com/twmb/franz-go":                 {"internal/kafka", "internal/embedded", "producer", "consumer", "detector", "queryapi", "bench"},
	"github.com/ClickHouse/clickhouse-go":      {"internal/clickhouse"},
	"github.com/ebitengine/purego":             {"internal/embedded"},
	"github.com/labstack/echo":                 {"queryapi/http"},
	"github.com/lestrrat-go/jwx":               {"queryapi"},
	"github.com/alecthomas/kong":               {"cmd"},
	"github.com/vbauerster/mpb":                {"cmd"},
	"github.com/pressly/goose":                 {"internal/clickhouse"},
	"github.com/prometheus/client_golang/prom": {"internal/ops", "producer", "consumer", "detector", "queryapi", "cmd", "internal/embedded"},
}

func TestImportDirections(t *testing.T) {
	checked := 0
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (strings.HasPrefix(d.Name(), ".") && path != "." || d.Name() == "testdata" || d.Name() == "tools" || d.Name() == "node_modules"):
			return filepath.SkipDir
		case d.IsDir() || !strings.HasSuffix(path, ".go"):
			return nil
		}
		f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		checked++
		for _, spec := range f.Imports {
			imported, _ := strconv.Unquote(spec.Path.Value)
			if why := forbidden(filepath.ToSlash(path), imported); why != "" {
				t.Errorf("%s imports %s: %s", path, imported, why)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if checked < 50 {
		t.Errorf("only %d files were looked at", checked)
	}
}

// forbidden returns why the file may not import the package, or nothing. Tests may use the embedded broker and engine and the drivers: they run the real thing.
func forbidden(file, imported string) string {
	test := strings.HasSuffix(file, "_test.go")
	dir := file[:strings.LastIndex("/"+file, "/")]
	dir = strings.TrimSuffix(dir, "/")
	if own, ok := strings.CutPrefix(imported, module); ok {
		if test || strings.HasPrefix(own+"/", dir+"/") && dir != "" {
			return ""
		}
		room := longest(mayImport, dir)
		if room == "" {
			return "the folder is not in the list of this test"
		}
		for _, allowed := range mayImport[room] {
			if own == strings.TrimSuffix(allowed, "/") || strings.HasPrefix(own, strings.TrimSuffix(allowed, "/")+"/") {
				return ""
			}
		}
		return room + " may not depend on it"
	}
	if home := longest(onlyIn, imported); home != "" && !test {
		for _, allowed := range onlyIn[home] {
			if dir == allowed || strings.HasPrefix(dir, allowed+"/") {
				return ""
			}
		}
		return "only " + strings.Join(onlyIn[home], ", ") + " may"
	}
	return ""
}

// longest returns the longest key that is a prefix of s.
func longest(m map[string][]string, s string) string {
	best := ""
	for k := range m {
		if strings.HasPrefix(s, k) && len(k) > len(best) {
			best = k
		}
	}
	return best
}

func TestForbiddenEdgesAreSeen(t *testing.T) {
	for _, c := range []struct {
		file, imported string
		ok             bool
	}{
		{"consumer/lane.go", module + "detector", false},
		{"consumer/lane.go", module + "internal/kafka", true},
		{"consumer/lane.go", "github.com/labstack/echo/v4", false},
		{"queryapi/http/server.go", "github.com/labstack/echo/v4", true},
		{"queryapi/search.go", "github.com/labstack/echo/v4", false},
		{"queryapi/search.go", "github.com/ClickHouse/clickhouse-go/v2", false},
		{"queryapi/search_test.go", "github.com/ClickHouse/clickhouse-go/v2", true},
		{"schemas/audit/event.go", module + "internal/kafka", false},
		{"internal/kafka/config.go", module + "consumer", false},
		{"consumer/consumer.go", "github.com/twmb/franz-go/pkg/kgo", true},
		{"consumer/consumer.go", "github.com/twmb/franz-go/pkg/kfake", false},
		{"internal/embedded/broker/broker.go", "github.com/twmb/franz-go/pkg/kfake", true},
		{"cmd/audittrail/up.go", module + "queryapi", true},
		{"newfolder/x.go", module + "queryapi", false},
	} {
		if why := forbidden(c.file, c.imported); (why == "") != c.ok {
			t.Errorf("%s importing %s: %q", c.file, c.imported, why)
		}
	}
}
