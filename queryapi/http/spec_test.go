package http

import (
	"bytes"
	"encoding/json"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/labstack/echo/v4"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/audittrail/audittrail/internal/ops"
	"github.com/audittrail/audittrail/queryapi"
	"github.com/audittrail/audittrail/schemas"
)

// spec is the OpenAPI description: its schemas are JSON Schema 2020-12, so a validator of those reads them where they stand.
type spec struct {
	doc      map[string]any
	compiler *jsonschema.Compiler
}

const specURL = "https://audittrail.invalid/openapi.yaml"

func readSpec(t *testing.T) *spec {
	t.Helper()
	asJSON, err := yaml.YAMLToJSON(schemas.OpenAPI())
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(asJSON))
	if err != nil {
		t.Fatal(err)
	}
	s := &spec{doc: doc.(map[string]any), compiler: jsonschema.NewCompiler()}
	s.compiler.DefaultDraft(jsonschema.Draft2020)
	s.compiler.AssertFormat()
	if err := s.compiler.AddResource(specURL, doc); err != nil {
		t.Fatal(err)
	}
	return s
}

// at returns what stands at a path of keys, following references.
func (s *spec) at(t *testing.T, keys ...string) any {
	t.Helper()
	var here any = s.doc
	for _, key := range keys {
		m, ok := s.follow(t, here).(map[string]any)
		if !ok || m[key] == nil {
			t.Fatalf("there is no %q in the description's %v", key, keys)
		}
		here = m[key]
	}
	return s.follow(t, here)
}

func (s *spec) follow(t *testing.T, here any) any {
	m, _ := here.(map[string]any)
	if ref, ok := m["$ref"].(string); ok {
		return s.at(t, strings.Split(strings.TrimPrefix(ref, "#/"), "/")...)
	}
	return here
}

// check validates an answer against what the description says of the path.
func (s *spec) check(t *testing.T, path string, an answer) {
	t.Helper()
	responses := s.at(t, "paths", path, "get", "responses").(map[string]any)
	status := strconv.Itoa(an.StatusCode)
	if responses[status] == nil {
		status = "default"
	}
	if status == "default" && an.StatusCode < 400 {
		t.Errorf("%s: the description does not know status %d", path, an.StatusCode)
	}
	media, _, err := mime.ParseMediaType(an.Header.Get("Content-Type"))
	if err != nil {
		t.Fatal(err)
	}
	schema := s.at(t, "paths", path, "get", "responses", status, "content", media, "schema")
	if !strings.HasSuffix(media, "json") {
		return // text
	}
	where := "#/paths/" + escape(path) + "/get/responses/" + status + "/content/" + escape(media) + "/schema"
	if status == "default" {
		where = "#/components/responses/Problem/content/" + escape(media) + "/schema"
	}
	compiled, err := s.compiler.Compile(specURL + where)
	if err != nil {
		t.Fatalf("%v: %v", schema, err)
	}
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(an.body))
	if err != nil {
		t.Fatalf("%s: %v: %s", path, err, an.body)
	}
	if err := compiled.Validate(value); err != nil {
		t.Errorf("%s: %v\n%s", path, err, an.body)
	}
}

// escape writes a key as a part of a JSON pointer in a URL.
func escape(key string) string {
	return url.PathEscape(strings.NewReplacer("~", "~0", "/", "~1").Replace(key))
}

// describedPath is a route's path as the description writes it.
func describedPath(path string) string {
	parts := strings.Split(path, "/")
	for i, part := range parts {
		if name, ok := strings.CutPrefix(part, ":"); ok {
			parts[i] = "{" + name + "}"
		}
	}
	return strings.Join(parts, "/")
}

// TestRoutesAndSpecAgree takes the routes that the handler has, not those that it was told.
func TestRoutesAndSpecAgree(t *testing.T) {
	s := readSpec(t)
	described := []string{}
	for path, item := range s.at(t, "paths").(map[string]any) {
		for method := range item.(map[string]any) {
			described = append(described, strings.ToUpper(method)+" "+path)
		}
	}
	service, err := queryapi.New(queryapi.Options{ClickHouse: unreachable(t)})
	if err != nil {
		t.Fatal(err)
	}
	handler, err := New(service)
	if err != nil {
		t.Fatal(err)
	}
	routed, heads := map[string]bool{}, map[string]bool{}
	for _, r := range handler.(*echo.Echo).Routes() {
		path := describedPath(r.Path)
		if !slices.Contains(described, "GET "+path) { // the other spelling
			if path = strings.TrimSuffix(path, "/"); path == describedPath(r.Path) {
				path += "/"
			}
		}
		if r.Method == http.MethodHead {
			heads["GET "+path] = true // HEAD goes with GET and is not described by itself
			continue
		}
		routed[r.Method+" "+path] = true
	}
	for _, operation := range described {
		if !routed[operation] || !heads[operation] {
			t.Errorf("%s is described, but there is no such route with its HEAD", operation)
		}
		delete(routed, operation)
	}
	for operation := range routed {
		t.Errorf("%s is a route, but not described", operation)
	}
}

// TestParametersAndSpecAgree sends each described parameter, and counts on TestWrongParameters for what is not known.
func TestParametersAndSpecAgree(t *testing.T) {
	s := readSpec(t)
	a := serve(t, nil, nil)
	samples := map[string]string{
		"outcome": "success", "severity": "low", "category": "auth", "state": "open", "level": "low", "source_ip": "10.0.0.1", "ip": "10.0.0.1",
		"from": "-1h", "to": "now", "limit": "1", "order": "asc", "total": "true", "cursor": "x", "q": "*",
	}
	for _, path := range []string{"/api/logs/", "/api/alerts/"} {
		for _, p := range s.at(t, "paths", path, "get", "parameters").([]any) {
			name := s.follow(t, p).(map[string]any)["name"].(string)
			value := samples[name]
			if value == "" {
				value = "x"
			}
			problem := a.get(path + "?" + name + "=" + value).problem(t)
			// The request is understood, and fails only because there is no database.
			if want := http.StatusServiceUnavailable; problem.Status != want && name != "cursor" {
				t.Errorf("%s?%s=%s: %+v", path, name, value, problem)
			}
			if name == "cursor" && !strings.HasPrefix(problem.Errors[0].Detail, "does not belong") {
				t.Errorf("%s?%s=%s: %+v", path, name, value, problem)
			}
		}
	}
}

// TestParametersAreDescribed takes the names that the handler itself lists to whoever gives an unknown one, and which of them may be repeated.
func TestParametersAreDescribed(t *testing.T) {
	s := readSpec(t)
	a := serve(t, nil, nil)
	for _, path := range []string{"/api/logs/", "/api/alerts/"} {
		var described []string
		for _, p := range s.at(t, "paths", path, "get", "parameters").([]any) {
			p := s.follow(t, p).(map[string]any)
			name := p["name"].(string)
			if name != "ip" { // another name of source_ip, which is not listed
				described = append(described, name)
			}
			many := s.follow(t, p["schema"]).(map[string]any)["type"] == "array"
			once := false
			for _, e := range a.get(path + "?" + name + "=1&" + name + "=2").problem(t).Errors {
				once = once || e.Parameter == name && strings.HasPrefix(e.Detail, "is given more than once")
			}
			if many == once {
				t.Errorf("%s: %s is described as a list: %v; repeating it is an error: %v", path, name, many, once)
			}
		}
		problem := a.get(path + "?xyzzyxyzzy=1").problem(t)
		_, list, _ := strings.Cut(problem.Errors[0].Detail, "there are ")
		known := strings.Split(list, ", ")
		slices.Sort(known)
		slices.Sort(described)
		if problem.Errors[0].Parameter != "xyzzyxyzzy" || !slices.Equal(known, described) {
			t.Errorf("%s knows %v, described are %v", path, known, described)
		}
	}
}

// TestPathsWithoutParameters refuses any by name, except where probes and scrapers may have habits of their own.
func TestPathsWithoutParameters(t *testing.T) {
	a := serve(t, nil, nil)
	for _, path := range []string{"/", "/api/openapi.yaml", "/api/logs/1", "/api/alerts/1/"} {
		p := a.get(path + "?pretty=1").problem(t)
		if p.Status != 400 || len(p.Errors) != 1 || p.Errors[0].Parameter != "pretty" || !strings.HasPrefix(p.Detail, "pretty: ") {
			t.Errorf("%s?pretty=1: %+v", path, p)
		}
	}
	for _, path := range []string{"/livez", "/metrics"} {
		if an := a.get(path + "?verbose"); an.StatusCode != 200 {
			t.Errorf("%s?verbose: %d", path, an.StatusCode)
		}
	}
}

// TestEveryCodeHasAStatus keeps the three lists of codes together: the table, the description and the package's constants that the table uses.
func TestEveryCodeHasAStatus(t *testing.T) {
	var types []string
	for _, v := range readSpec(t).at(t, "components", "schemas", "Problem", "properties", "type", "enum").([]any) {
		types = append(types, v.(string))
	}
	slices.Sort(types)
	var ours []string
	for code, known := range statuses {
		if known.status < 400 || known.title == "" {
			t.Errorf("%s has status %d and title %q", code, known.status, known.title)
		}
		ours = append(ours, ops.ProblemType+string(code))
	}
	slices.Sort(ours)
	if !slices.Equal(types, ours) {
		t.Errorf("described are %v, in the table are %v", types, ours)
	}
}

// TestAnswers checks real answers against the description and the golden files.
func TestAnswers(t *testing.T) {
	s := readSpec(t)
	a := serve(t, fill(t), nil)
	for _, c := range []struct {
		name, path, described string
		status                int
	}{
		{"logs", "/api/logs/", "/api/logs/", 200},
		{"logs_page", "/api/logs?limit=1&total=true&order=asc", "/api/logs/", 200},
		{"logs_none", "/api/logs/?actor=nobody", "/api/logs/", 200},
		{"logs_wrong", "/api/logs/?actoin=auth.login&limit=0&q=action:", "/api/logs/", 400},
		{"logs_damaged", "/api/logs/?actor=%zz", "/api/logs/", 400},
		{"log", "/api/logs/0192f0c1-aaaa-7000-8000-000000000001", "/api/logs/{id}", 200},
		{"log_escaped", "/api/logs/a%2Fb%20c/", "/api/logs/{id}", 200},
		{"log_missing", "/api/logs/none", "/api/logs/{id}", 404},
		{"log_parameter", "/api/logs/none?x=1", "/api/logs/{id}", 400},
		{"alerts", "/api/alerts/?state=resolved&total=true", "/api/alerts/", 200},
		{"alerts_wrong", "/api/alerts?state=opne", "/api/alerts/", 400},
		{"alert", "/api/alerts/alert-1", "/api/alerts/{id}", 200},
		{"alert_missing", "/api/alerts/none/", "/api/alerts/{id}", 404},
		{"index", "/", "/", 200},
	} {
		t.Run(c.name, func(t *testing.T) {
			an := a.do(http.MethodGet, c.path, func(r *http.Request) { r.Header.Set("X-Request-ID", "test-"+c.name) })
			if an.StatusCode != c.status {
				t.Fatalf("status %d, want %d: %s", an.StatusCode, c.status, an.body)
			}
			s.check(t, c.described, an)
			golden(t, c.name+".json", stable(t, an.body))
		})
	}
	for _, path := range []string{"/livez", "/readyz", "/metrics", "/api/openapi.yaml"} {
		s.check(t, path, a.get(path))
	}
}

// stable is the answer indented, without what differs from run to run.
func stable(t *testing.T, body []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := json.Indent(&b, body, "", "  "); err != nil {
		t.Fatal(err)
	}
	out := tookMS.ReplaceAll(b.Bytes(), []byte(`"took_ms": 0`))
	return version.ReplaceAll(out, []byte(`"version": "VERSION"`))
}
