package producer_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/audittrail/audittrail/producer"
	"github.com/audittrail/audittrail/producer/generate"
	"github.com/audittrail/audittrail/producer/ndjson"
	"github.com/audittrail/audittrail/producer/sshd"
)

// TestNothingInternalInPublicTypes: what another module has to name must not lie in a folder that it cannot import.
func TestNothingInternalInPublicTypes(t *testing.T) {
	seen := map[reflect.Type]bool{}
	var look func(string, reflect.Type)
	look = func(path string, typ reflect.Type) {
		if seen[typ] {
			return
		}
		seen[typ] = true
		if strings.Contains(typ.PkgPath(), "audittrail/internal/") || strings.Contains(typ.PkgPath(), "producer/internal/") {
			t.Errorf("%s is %s", path, typ)
		}
		if strings.HasPrefix(typ.PkgPath(), "github.com/audittrail/") {
			for _, of := range []reflect.Type{typ, reflect.PointerTo(typ)} {
				for m := range of.NumMethod() {
					look(path+"."+of.Method(m).Name, of.Method(m).Type)
				}
			}
		} else if typ.PkgPath() != "" {
			return // another module's
		}
		switch typ.Kind() {
		case reflect.Struct:
			for i := range typ.NumField() {
				if f := typ.Field(i); f.IsExported() {
					look(path+"."+f.Name, f.Type)
				}
			}
		case reflect.Func:
			for i := range typ.NumIn() {
				look(path+" argument", typ.In(i))
			}
			for i := range typ.NumOut() {
				look(path+" result", typ.Out(i))
			}
		case reflect.Pointer, reflect.Slice, reflect.Array, reflect.Chan:
			look(path, typ.Elem())
		case reflect.Map:
			look(path, typ.Key())
			look(path, typ.Elem())
		}
	}
	for name, f := range map[string]any{
		"New": producer.New, "LoadTLS": producer.LoadTLS, "sshd.New": sshd.New, "ndjson.New": ndjson.New, "generate.New": generate.New,
		"errors": func(producer.EmitError, producer.InvalidError) {},
	} {
		look(name, reflect.TypeOf(f))
	}
	if len(seen) < 50 {
		t.Errorf("only %d types were looked at", len(seen))
	}
}

const shopMain = `package main

import (
	"context"
	"os"

	"github.com/audittrail/audittrail/producer"
	"github.com/audittrail/audittrail/schemas/audit"
)

func publish(ctx context.Context) error {
SNIPPET
}

func main() {
	if err := publish(context.Background()); err != nil {
		panic(err)
	}
}
`

// TestReadmeCompilesInAnotherModule builds the README's Go code as an application outside this module does.
func TestReadmeCompilesInAnotherModule(t *testing.T) {
	root, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	read := func(name string) string {
		text, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	snippet := regexp.MustCompile("(?s)```go\n(.*?)```").FindStringSubmatch(read("README.md"))
	if snippet == nil {
		t.Fatal("the README has no Go code")
	}
	dir := t.TempDir()
	files := map[string]string{
		"main.go": strings.Replace(shopMain, "SNIPPET", snippet[1], 1),
		"go.mod": strings.Replace(read("go.mod"), "module github.com/audittrail/audittrail\n", "module example.com/shop\n\n"+
			"require github.com/audittrail/audittrail v0.0.0\n\nreplace github.com/audittrail/audittrail => "+root+"\n", 1),
		"go.sum": read("go.sum"),
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command("go", "build", "-mod=mod", "-o", filepath.Join(dir, "shop"), ".")
	cmd.Dir = dir
	// All that it needs, this module needs as well: nothing has to be fetched.
	cmd.Env = append(os.Environ(), "GOFLAGS=", "GOPROXY=off", "GOWORK=off", "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("go build: %v\n%s\n%s", err, out, files["main.go"])
	}
}
