package audit

import (
	"bytes"
	"encoding/json"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

func compile(t *testing.T, schema []byte) *jsonschema.Schema {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(schema))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	if err := c.AddResource("schema.json", doc); err != nil {
		t.Fatal(err)
	}
	compiled, err := c.Compile("schema.json")
	if err != nil {
		t.Fatal(err)
	}
	return compiled
}

func validates(t *testing.T, schema *jsonschema.Schema, data []byte) error {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	return schema.Validate(doc)
}

// TestEventSchemaAcceptsEvents holds the schema against Validate: what one accepts, the other does.
func TestEventSchemaAcceptsEvents(t *testing.T) {
	schema := compile(t, EventSchema())
	check := func(name string, e *Event) {
		t.Helper()
		data := Encode(nil, e)
		byGo, bySchema := e.Validate(), validates(t, schema, data)
		if (byGo == nil) != (bySchema == nil) {
			t.Errorf("%s: Validate says %v, the schema %v\n%s", name, byGo, bySchema, data)
		}
	}
	for name, e := range encodeCases() {
		if name != "unfit" { // Encode mends what Validate refuses there
			check(name, e)
		}
	}
	r := rand.New(rand.NewPCG(11, 12))
	for range 300 {
		check("random", randomEvent(r))
	}
	d := NewDecoder()
	for _, file := range recordFiles(t) {
		var e Event
		if d.Decode(readRecord(t, file), &e) == nil {
			check(file, &e)
		}
	}
	for name, spoil := range map[string]func(*Event){
		"no id":   func(e *Event) { e.ID = "" },
		"action":  func(e *Event) { e.Action = "LOGIN" },
		"status":  func(e *Event) { e.Request.Status = 99 },
		"service": func(e *Event) { e.Service.Name = "" },
		"actor":   func(e *Event) { e.Actor.Type = "robot" },
		"change":  func(e *Event) { e.Changes[0].Field = "" },
	} {
		e := fullEvent()
		spoil(e)
		check(name, e)
		if e.Validate() == nil {
			t.Errorf("%s was accepted", name)
		}
	}
}

// TestEventSchemaHasEveryField compares the paths of the schema with those of an event that has a value in every field.
func TestEventSchemaHasEveryField(t *testing.T) {
	e := fullEvent()
	requireFilled(t, reflect.ValueOf(e).Elem(), "Event")
	var doc any
	if err := json.Unmarshal(Encode(nil, e), &doc); err != nil {
		t.Fatal(err)
	}
	delete(doc.(map[string]any), "metadata") // its keys are free
	want := map[string]bool{"metadata": true}
	valuePaths(doc, "", want)
	comparePaths(t, schemaPaths(t, EventSchema()), want)
}

// requireFilled fails for every field without a value, looking into the first entry of lists.
func requireFilled(t *testing.T, v reflect.Value, path string) {
	t.Helper()
	switch {
	case v.Kind() == reflect.Slice && v.Len() > 0:
		if path == "Event.Changes" { // Redacted is in the second
			requireFilled(t, v.Index(0).FieldByName("New"), path+".New")
			requireFilled(t, v.Index(1).FieldByName("Redacted"), path+".Redacted")
			return
		}
		requireFilled(t, v.Index(0), path)
	case v.Kind() == reflect.Struct && v.Type().PkgPath() == reflect.TypeFor[Event]().PkgPath():
		for i := range v.NumField() {
			requireFilled(t, v.Field(i), path+"."+v.Type().Field(i).Name)
		}
	case v.IsZero():
		t.Errorf("%s has no value", path)
	}
}

func valuePaths(value any, path string, into map[string]bool) {
	switch v := value.(type) {
	case map[string]any:
		for key, member := range v {
			if path == "changes.new" {
				continue
			}
			into[strings.TrimPrefix(path+"."+key, ".")] = true
			valuePaths(member, strings.TrimPrefix(path+"."+key, "."), into)
		}
	case []any:
		for _, element := range v {
			valuePaths(element, path, into)
		}
	}
}

// schemaPaths returns the JSON paths of all properties.
func schemaPaths(t *testing.T, schema []byte) map[string]bool {
	t.Helper()
	var doc map[string]any
	if err := json.Unmarshal(schema, &doc); err != nil {
		t.Fatal(err)
	}
	defs, _ := doc["$defs"].(map[string]any)
	paths := map[string]bool{}
	var walk func(node map[string]any, path string)
	walk = func(node map[string]any, path string) {
		if ref, ok := node["$ref"].(string); ok {
			walk(defs[strings.TrimPrefix(ref, "#/$defs/")].(map[string]any), path)
		}
		if items, ok := node["items"].(map[string]any); ok {
			walk(items, path)
		}
		properties, _ := node["properties"].(map[string]any)
		for key, property := range properties {
			paths[path+key] = true
			walk(property.(map[string]any), path+key+".")
		}
	}
	walk(doc, "")
	return paths
}

func comparePaths(t *testing.T, got, want map[string]bool) {
	t.Helper()
	gotKeys, wantKeys := slices.Sorted(maps.Keys(got)), slices.Sorted(maps.Keys(want))
	if !slices.Equal(gotKeys, wantKeys) {
		t.Errorf("the schema has\n%v\nthe type has\n%v", gotKeys, wantKeys)
	}
}

func enumOf(t *testing.T, schema []byte, path ...string) []string {
	t.Helper()
	var node map[string]any
	if err := json.Unmarshal(schema, &node); err != nil {
		t.Fatal(err)
	}
	for _, key := range path {
		node = node["properties"].(map[string]any)[key].(map[string]any)
	}
	var values []string
	for _, value := range node["enum"].([]any) {
		values = append(values, value.(string))
	}
	return values
}

func TestSchemaEnums(t *testing.T) {
	for name, pair := range map[string][2][]string{
		"outcome":  {enumOf(t, EventSchema(), "outcome"), outcomeNames[:]},
		"severity": {enumOf(t, EventSchema(), "severity"), severityNames[:]},
		"state":    {enumOf(t, AlertSchema(), "state"), {string(AlertOpen), string(AlertAcknowledged), string(AlertResolved)}},
	} {
		if !slices.Equal(pair[0], pair[1]) {
			t.Errorf("%s: the schema has %v, the type %v", name, pair[0], pair[1])
		}
	}
	categories := enumOf(t, EventSchema(), "category")
	for _, c := range categories {
		if _, ok := parseCategory(c); !ok {
			t.Errorf("category %s is not known", c)
		}
	}
	types := enumOf(t, EventSchema(), "actor", "type")
	for _, a := range types {
		if _, ok := parseActorType(a); !ok {
			t.Errorf("actor type %s is not known", a)
		}
	}
	// randomEvent draws from all constants, so TestEventSchemaAcceptsEvents has the other direction; the counts guard both.
	if len(categories) != 5 || len(types) != 5 {
		t.Errorf("%v, %v", categories, types)
	}
}

func fullAlert() *Alert {
	at := time.Date(2026, 11, 24, 9, 15, 27, 0, time.UTC)
	return &Alert{
		ID: "a-1", Version: 2, State: AlertOpen, RuleID: "r-1", RuleName: "brute_force_ip", Level: "high", Tenant: "acme",
		Key: map[string]string{"source.ip_prefix": "198.51.100.7/32"}, FirstSeen: at, LastSeen: at.Add(time.Minute), Window: "1m", Count: 5,
		Users: Names{Values: []string{"root"}, Total: 1}, Sources: Names{Values: []string{"198.51.100.7"}, Total: 1},
		Samples: []string{"e-1"}, Actions: []string{"block"}, Tags: []string{"attack.t1110.001"}, Approximate: true,
	}
}

func TestAlertSchema(t *testing.T) {
	schema := compile(t, AlertSchema())
	full := fullAlert()
	requireFilled(t, reflect.ValueOf(full).Elem(), "Alert")
	data, err := json.Marshal(full)
	if err != nil {
		t.Fatal(err)
	}
	if err := validates(t, schema, data); err != nil {
		t.Error(err)
	}
	var doc any
	if err := json.Unmarshal(data, &doc); err != nil {
		t.Fatal(err)
	}
	doc.(map[string]any)["key"] = nil // its keys are free
	want := map[string]bool{}
	valuePaths(doc, "", want)
	comparePaths(t, schemaPaths(t, AlertSchema()), want)

	short := *full
	short.Key, short.Users, short.Sources, short.Samples, short.Actions, short.Tags, short.Approximate = nil, Names{}, Names{}, nil, nil, nil, false
	if data, err = json.Marshal(&short); err != nil {
		t.Fatal(err)
	}
	if err := validates(t, schema, data); err != nil {
		t.Errorf("without what may be absent: %v", err)
	}
	for name, spoil := range map[string]func(*Alert){
		"state":   func(a *Alert) { a.State = "closed" },
		"version": func(a *Alert) { a.Version = 0 },
		"id":      func(a *Alert) { a.ID = "" },
		"samples": func(a *Alert) { a.Samples = make([]string, MaxAlertSamples+1) },
		"users":   func(a *Alert) { a.Users.Values = make([]string, MaxAlertNames+1) },
	} {
		bad := *full
		spoil(&bad)
		if data, err = json.Marshal(&bad); err != nil {
			t.Fatal(err)
		}
		if validates(t, schema, data) == nil {
			t.Errorf("%s was accepted", name)
		}
	}
}
